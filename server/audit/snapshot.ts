import { join } from "node:path";
import { isThere } from "../../certs/is-there.ts";
import { type Entry, genesisHash, lastEntries, openAuditDatabase, readingLog } from "./database.ts";
import { type Head, HeadFile, readHead } from "./head.ts";
import { readAuditKeys, refuseHalfRotated } from "./keys.ts";

/** The last entry of a log, as its database and its head agree on it. Throws a sentence when they can't be read or do not agree. */
export function headOf(dataDir: string): Head {
  const keys = readAuditKeys(dataDir);
  const head = readHead(join(dataDir, "audit.head"), keys.head);
  if (head === undefined) {
    refuseHalfRotated(dataDir);
    throw new Error(`${join(dataDir, "audit.head")} is missing, damaged, or not signed with this log's key.`);
  }
  const hash = hashAt(dataDir, head.seq);
  if (hash !== head.hash) throw new Error(`The audit log in ${dataDir} does not hold entry ${head.seq} as audit.head has it.`);
  return { seq: head.seq, hash: head.hash };
}

/** Chain hash of an entry; undefined when the log does not reach that far. */
export function hashAt(dataDir: string, seq: number): string | undefined {
  if (seq === 0) return genesisHash;
  return readingLog(dataDir, (log) => log.prepare<[number], { hash: string }>("SELECT hash FROM entries WHERE seq = ?").get(seq)?.hash);
}

/** When the last entry was written, ISO 8601; undefined for a log without entries. */
export function lastAt(dataDir: string): string | undefined {
  return last(dataDir, "true")?.at;
}

/** The entry of the last time that the service started (a restoration opens the log too, and tries no way out). Undefined when it never did. */
export function lastStart(dataDir: string): Entry | undefined {
  return last(dataDir, "call = '' AND kind = 'started' AND body ->> 'egress' IS NOT NULL");
}

function last(dataDir: string, condition: string): Entry | undefined {
  return readingLog(dataDir, (log) => log.prepare<[], Entry>(`SELECT * FROM entries WHERE ${condition} ORDER BY seq DESC LIMIT 1`).get());
}

/**
 * Copies the log of `dataDir` into the directory `target` as it stands at one moment, also beside a running service, with a head that fits. Throws when
 * the log ends before the head that stands beside it, so that a copy never makes a shortened log look whole.
 */
export function snapshotAuditLog(dataDir: string, target: string): Head {
  const keys = readAuditKeys(dataDir);
  if (!isThere(join(dataDir, "audit.db"))) throw new Error(`There is no audit log in ${dataDir}.`);
  const before = headOf(dataDir);
  const path = join(target, "audit.db");
  readingLog(dataDir, (log) => log.prepare("VACUUM INTO ?").run(path)); // one read transaction, under the same key
  const copy = openAuditDatabase(path, keys.database);
  try {
    const [last, previous] = lastEntries(copy, 2);
    if (last === undefined || last.seq < before.seq) throw new Error("The audit log became shorter while it was copied.");
    const head = HeadFile.create(join(target, "audit.head"), keys.head);
    // Both slots, as after two entries.
    for (const entry of [previous, last]) if (entry !== undefined) head.write(entry);
    head.close();
    copy.pragma("wal_checkpoint(TRUNCATE)");
    return { seq: last.seq, hash: last.hash };
  } finally {
    copy.close();
  }
}
