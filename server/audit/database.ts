import { createHash } from "node:crypto";
import { join } from "node:path";
import { type EncryptedDatabase, openEncrypted } from "./encrypted-database.ts";
import { readAuditKeys, refuseHalfRotated } from "./keys.ts";

export const entryKinds = ["started", "received", "settled", "stopped", "restored", "rekeyed"] as const;
export type EntryKind = (typeof entryKinds)[number];

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

export type AuditDatabase = EncryptedDatabase;

const schema = `
  CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, call TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS entries_at ON entries (at);
  CREATE INDEX IF NOT EXISTS entries_call ON entries (call);
  CREATE TABLE IF NOT EXISTS texts (sha256 TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;
`;

/** Throws a sentence when the key does not fit. */
export function openAuditDatabase(path: string, key: Buffer, { readonly = false }: { readonly?: boolean } = {}): AuditDatabase {
  return openEncrypted(path, key, "The audit log", readonly ? undefined : schema);
}

/** The log of a data directory, to read, also beside a running service. Throws a sentence. */
export function openToRead(dataDir: string): AuditDatabase {
  const { database } = readAuditKeys(dataDir);
  try {
    return openAuditDatabase(join(dataDir, "audit.db"), database, { readonly: true });
  } catch (error) {
    refuseHalfRotated(dataDir);
    throw error;
  }
}

/** What `read` makes of the log of a data directory. */
export function readingLog<T>(dataDir: string, read: (database: AuditDatabase) => T): T {
  const database = openToRead(dataDir);
  try {
    return read(database);
  } finally {
    database.close();
  }
}

/** Newest first. */
export function lastEntries(database: AuditDatabase, count: number): Entry[] {
  return database.prepare<[number], Entry>("SELECT * FROM entries ORDER BY seq DESC LIMIT ?").all(count);
}

/** What writes the next entry and returns it. Nobody else may write meanwhile. */
export function entryWriter(database: AuditDatabase): (kind: EntryKind, call: string, body: string) => Entry {
  const last = database.prepare<[], Entry>("SELECT * FROM entries ORDER BY seq DESC LIMIT 1");
  const insert = database.prepare<Entry>("INSERT INTO entries VALUES (:seq, :at, :kind, :call, :body, :hash)");
  return (kind, call, body) => {
    const previous = last.get();
    const entry = { seq: (previous?.seq ?? 0) + 1, at: new Date().toISOString(), kind, call, body };
    const hashed = { ...entry, hash: entryHash(previous?.hash ?? genesisHash, entry) };
    insert.run(hashed);
    return hashed;
  };
}
