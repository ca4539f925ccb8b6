import { chmodSync, closeSync, existsSync, openSync, readSync } from "node:fs";
import Database from "better-sqlite3";
import { sqliteSentence } from "./sqlite-errors.ts";

export type EncryptedDatabase = Database.Database;
export type Statement = Database.Statement<unknown[]>;

/**
 * Opens an encrypted database (SQLCipher's scheme: AES-256, a MAC on every page), to write when there is a `schema`. `what` it is, for people. `shrinks`: one
 * that is made now can give back what was freed in it. Throws a sentence when the key does not fit, or something else keeps it from being opened.
 */
export function openEncrypted(path: string, key: Buffer, what: string, schema?: string, { shrinks = false } = {}): EncryptedDatabase {
  const readonly = schema === undefined;
  let database: EncryptedDatabase | undefined;
  try {
    database = new Database(path, { readonly, fileMustExist: readonly });
    database.pragma("cipher = 'sqlcipher'");
    database.pragma(`key = "x'${key.toString("hex")}'"`);
    database.pragma("busy_timeout = 5000");
    // Can't be chosen any more once there is a write-ahead log.
    if (shrinks) database.pragma("auto_vacuum = INCREMENTAL");
    if (readonly) database.prepare("SELECT count(*) FROM sqlite_master").get();
    else prepare(database, path, schema);
    return database;
  } catch (cause) {
    database?.close();
    throw failed(`${what} ${path} can't be opened`, cause);
  }
}

/** Encrypts a database anew, in one transaction that a crash rolls back. One that is not there, or is under the key `after` already, stays as it is. */
export function changeKey(path: string, before: Buffer, after: Buffer, what: string): void {
  if (!existsSync(path) || isUnder(path, after)) return;
  const salt = saltOf(path);
  const database = openEncrypted(path, before, what, "");
  try {
    // Not possible with a write-ahead log.
    database.pragma("journal_mode = DELETE");
    // That the journal is gone is on disk, too, when this returns: it would bring the old key back, which may be thrown away by then.
    database.pragma("synchronous = EXTRA");
    // With the salt that it has: a new one would stand in page 1 before the journal is gone, which is under the old one and could not be rolled back.
    database.pragma(`rekey = "x'${after.toString("hex")}${salt}'"`);
  } catch (cause) {
    throw failed(`${what} ${path} can't be encrypted anew`, cause);
  } finally {
    database.close();
  }
}

/** Whether the key opens the database now. When it does not, it may still be the right one: there may be something to roll back first. */
export function isUnder(path: string, key: Buffer): boolean {
  try {
    openEncrypted(path, key, "It").close();
    return true;
  } catch {
    return false;
  }
}

function failed(what: string, cause: unknown): unknown {
  return cause instanceof Database.SqliteError ? new Error(`${what}: ${sqliteSentence(cause)}`, { cause }) : cause;
}

/** Hexadecimal: the first 16 bytes of the file. */
function saltOf(path: string): string {
  const file = openSync(path, "r");
  try {
    const salt = Buffer.alloc(16);
    readSync(file, salt);
    return salt.toString("hex");
  } finally {
    closeSync(file);
  }
}

function prepare(database: EncryptedDatabase, path: string, schema: string): void {
  database.pragma("journal_mode = WAL");
  // Every commit reaches the disk before it returns: what was acknowledged survives a power cut.
  database.pragma("synchronous = FULL");
  database.exec(schema);
  for (const file of [path, `${path}-wal`, `${path}-shm`].filter((one) => existsSync(one))) chmodSync(file, 0o600);
}
