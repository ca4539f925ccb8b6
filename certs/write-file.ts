import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Writes a file so that a reader sees the old one or the new one, never a part, also after a power cut. Makes its directory (0700). */
export function writeFileWhole(path: string, content: string | Uint8Array, mode: number): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}.new`;
  const file = openSync(temporary, "w", mode);
  try {
    writeFileSync(file, content);
    fsyncSync(file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw Object.assign(error as Error, { path }); // what the system says of a write names no file
  } finally {
    closeSync(file);
  }
  renameDurably(temporary, path);
}

/** Renames within one directory: whatever is written after it returns is not there after a power cut unless the new name is. */
export function renameDurably(from: string, to: string): void {
  renameSync(from, to);
  flushDirectory(dirname(to));
}

/** Returns when what was made, renamed or removed in a directory is on disk. */
export function flushDirectory(dir: string): void {
  const directory = openSync(dir, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
