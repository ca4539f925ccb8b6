import { createHash } from "node:crypto";
import { join } from "node:path";
import { isThere } from "../../certs/is-there.ts";
import { type AuditDatabase, type Entry, entryHash, genesisHash, openToRead } from "./database.ts";
import { genesisHead, readHead, standsBeside } from "./head.ts";
import { deriveKeys, readAuditKeys } from "./keys.ts";
import { formerSecrets } from "./read.ts";
import { publicText } from "./signing.ts";

/** `problems` is empty when the log is whole. */
export interface Verification {
  readonly entries: number;
  readonly first: string | undefined;
  readonly last: string | undefined;
  /** Chain hash of the last entry. */
  readonly head: string;
  readonly problems: readonly string[];
}

const problemsMax = 20;

/** Walks the whole log: every hash, every stored text, every call's two entries, the key before each rotation, and the head kept outside. Works beside a running service. */
export function verifyAuditLog(dataDir: string): Verification {
  const path = join(dataDir, "audit.db");
  if (!isThere(path)) throw new Error(`There is no audit log at ${path}.`);
  const keys = readAuditKeys(dataDir);
  const headFile = join(dataDir, "audit.head");
  // Before the entries: a running service only moves it forward.
  const head = readHead(headFile, keys.head);
  const database = openToRead(dataDir);
  const problems: string[] = [];
  const report = (problem: string): void => {
    if (problems.length < problemsMax) problems.push(problem);
  };
  try {
    let previous: Entry | undefined;
    let first: string | undefined;
    let entries = 0;
    let headSeen = head?.seq === genesisHead.seq && head.hash === genesisHead.hash;
    const open = new Set<string>();
    const formerKeys = new Set(formerSecrets(database).map((secret) => publicText(deriveKeys(secret).signing)));
    for (const entry of database.prepare<[], Entry>("SELECT * FROM entries ORDER BY seq").iterate()) {
      const expected = (previous?.seq ?? 0) + 1;
      if (entry.seq !== expected) report(`Entries ${expected} to ${entry.seq - 1} are missing.`);
      else if (entryHash(previous?.hash ?? genesisHash, entry) !== entry.hash)
        report(`Entry ${entry.seq} (${entry.at}) was altered or moved.`);
      if (entry.kind === "received") open.add(entry.call);
      if (entry.kind === "settled" && !open.delete(entry.call)) report(`Entry ${entry.seq} settles a call that was not received.`);
      if (entry.kind === "started" && open.size > 0) report(`${open.size} calls before entry ${entry.seq} were never settled.`);
      if (entry.kind === "started") open.clear();
      if (entry.kind === "rekeyed" && !formerKeys.has(JSON.parse(entry.body).signedBefore))
        report(`The key from before entry ${entry.seq} is missing: what was hashed and sealed under it can't be read.`);
      if (head?.seq === entry.seq && head.hash === entry.hash) headSeen = true;
      first ??= entry.at;
      previous = entry;
      entries += 1;
    }
    // After the entries: the service writes the head before the next entry.
    const headNow = readHead(headFile, keys.head);
    if (entries === 0) report("The log is empty: every entry was removed, or the service never started.");
    else if (head === undefined)
      report("audit.head is missing or not signed with this log's key: whether entries were cut off the end can't be told.");
    else if (!headSeen)
      report(`The log does not hold entry ${head.seq} as audit.head has it: entries were cut off the end or the file was replaced.`);
    // Beside a running service the head is ahead of what was read; a torn head says that nothing runs.
    else if (headNow !== undefined && headNow.seq <= (previous?.seq ?? 0) && !standsBeside(headNow, previous?.seq ?? 0))
      report(
        `audit.head and the end of the log (entry ${previous?.seq}) do not belong together: entries were cut off, or one of the two was replaced.`,
      );
    for (const problem of textProblems(database)) report(problem);
    return { entries, first, last: previous?.at, head: previous?.hash ?? genesisHash, problems };
  } catch (error) {
    report(`The database is damaged: ${(error as Error).message}.`);
    return { entries: 0, first: undefined, last: undefined, head: genesisHash, problems };
  } finally {
    database.close();
  }
}

function* textProblems(database: AuditDatabase): Generator<string> {
  for (const { sha256, sealed } of database.prepare<[], { sha256: string; sealed: Buffer }>("SELECT * FROM texts").iterate()) {
    if (createHash("sha256").update(sealed).digest("hex") !== sha256) yield `Stored text ${sha256} was altered.`;
  }
  const lost = database
    .prepare<[], { seq: number }>(
      `SELECT e.seq FROM entries e, json_tree(e.body) j WHERE j.key = 'stored' AND j.value NOT IN (SELECT sha256 FROM texts)`,
    )
    .all();
  for (const { seq } of lost) yield `A text of entry ${seq} is missing.`;
}
