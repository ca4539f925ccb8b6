import { existsSync } from "node:fs";

/** Throws a sentence where there is something at `file` already. */
export function refuseExisting(file: string): void {
  if (existsSync(file)) throw new Error(`${file} exists already. Name another file.`);
}
