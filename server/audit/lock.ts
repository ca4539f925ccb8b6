import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { batchesPath } from "./keys.ts";

/** A second service on the same data would settle the first one's calls. SQLite's file lock ends with the process, however it ends. */
export function lockData(dataDir: string): Disposable {
  const lock = new Database(join(dataDir, "service.lock"), { timeout: 0 });
  try {
    lock.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE IF NOT EXISTS held (x); COMMIT; BEGIN EXCLUSIVE");
    return { [Symbol.dispose]: () => lock.close() };
  } catch (cause) {
    lock.close();
    const { code, message } = cause as { code?: string; message: string }; // SQLite's errors
    if (code === "SQLITE_BUSY")
      throw new Error(`Another sallyport service uses ${dataDir}. Stop it, or set SALLYPORT_DATA to another directory.`, { cause });
    throw new Error(`${dataDir} can't be written (${message}). Make room, or give this user the right to write there.`, {
      cause,
    });
  }
}

/** Where a restoration keeps what was in a data directory until all of the backup is there. */
export function asideOf(dataDir: string): string {
  return join(dataDir, ".restore", "aside");
}

/** Whoever wrote there now would write beside what a restoration has moved, and begin a new log. */
export function refuseHalfRestored(dataDir: string): void {
  if (existsSync(asideOf(dataDir)))
    throw new Error(`A restore into ${dataDir} was cut off. Run it again: it puts back first what was there.`);
}

/** Where restorations have left what was in a data directory before. */
export function replacedIn(dataDir: string): string[] {
  return readdirSync(dataDir)
    .filter((name) => name.startsWith("replaced-"))
    .map((name) => join(dataDir, name));
}

/** Deletes callers' files and batches from what a restoration has moved aside: their key is beside them, and no service lets go of them when their time is over. */
export function removeReplacedBatches(dataDir: string): void {
  const files = replacedIn(dataDir).flatMap((dir) => ["", "-wal", "-shm", "-journal"].map((end) => `${batchesPath(dir)}${end}`));
  for (const file of files.filter((one) => existsSync(one))) rmSync(file);
}
