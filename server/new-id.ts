import { randomUUID } from "node:crypto";

/** An id as the vendors write them: letters and digits behind what it is an id of. */
export function newId(prefix: string): string {
  return `${prefix}${randomUUID().replaceAll("-", "")}`;
}
