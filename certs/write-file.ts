import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

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
  flush(dirname(to));
}

/** Returns when what was written into a file, or made, renamed or removed in a directory, is on disk. */
export function flush(path: string): void {
  const opened = openSync(path, "r");
  try {
    fsyncSync(opened);
  } finally {
    closeSync(opened);
  }
}

/** Returns when a directory and everything below it is on disk. */
export function flushTree(dir: string): void {
  for (const { parentPath, name } of readdirSync(dir, { recursive: true, withFileTypes: true })) flush(join(parentPath, name));
  flush(dir);
}
