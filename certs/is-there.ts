import { statSync } from "node:fs";

/** Whether there is such a file or directory. Throws the system's error where this user may not look: what can't be seen is not missing. */
export function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
