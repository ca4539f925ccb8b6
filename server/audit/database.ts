import { createHash } from "node:crypto";
import { chmodSync } from "node:fs";
import Database from "better-sqlite3";

export type EntryKind = "started" | "received" | "settled" | "stopped" | "restored" | "rekeyed";

/** One row of the log. `hash` covers every other column and the hash of the row before. */
export interface Entry {
  readonly seq: number;
  /** ISO 8601, UTC, milliseconds. */
  readonly at: string;
  readonly kind: EntryKind;
  /** The call it belongs to; empty for the service's own entries. */
  readonly call: string;
  /** JSON. */
  readonly body: string;
  /** SHA-256, hexadecimal. */
  readonly hash: string;
}

/** What the hash of the first entry builds on. */
export const genesisHash = "0".repeat(64);

export function entryHash(previousHash: string, { seq, at, kind, call, body }: Omit<Entry, "hash">): string {
  return createHash("sha256")
    .update(JSON.stringify([previousHash, seq, at, kind, call, body]))
    .digest("hex");
}

export type AuditDatabase = Database.Database;

/** Opens the encrypted database (SQLCipher's scheme: AES-256, a MAC on every page). Throws a sentence when the key does not fit. */
export function openAuditDatabase(path: string, key: Buffer, { readonly = false }: { readonly?: boolean } = {}): AuditDatabase {
  const database = new Database(path, { readonly, fileMustExist: readonly });
  try {
    database.pragma("cipher = 'sqlcipher'");
    database.pragma(`key = "x'${key.toString("hex")}'"`);
    database.pragma("busy_timeout = 5000");
    if (readonly) database.prepare("SELECT count(*) FROM sqlite_master").get();
    else prepare(database, path);
    return database;
  } catch (cause) {
    database.close();
    throw new Error(`The audit log ${path} can't be opened: it is damaged, or its key is another one (${(cause as Error).message}).`, {
      cause,
    });
  }
}

function prepare(database: AuditDatabase, path: string): void {
  database.pragma("journal_mode = WAL");
  // Every commit reaches the disk before it returns: an entry that was acknowledged survives a power cut.
  database.pragma("synchronous = FULL");
  database.exec(`
    CREATE TABLE IF NOT EXISTS entries (
      seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, call TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS entries_at ON entries (at);
    CREATE INDEX IF NOT EXISTS entries_call ON entries (call);
    CREATE TABLE IF NOT EXISTS texts (sha256 TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;
  `);
  for (const file of [path, `${path}-wal`, `${path}-shm`]) chmodSync(file, 0o600);
}
