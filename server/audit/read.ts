import { createDecipheriv, createHmac } from "node:crypto";
import { join } from "node:path";
import { type AuditDatabase, type Entry, entryHash, genesisHash, openToRead } from "./database.ts";
import { type Head, readHead } from "./head.ts";
import { deriveKeys, readAuditKeys } from "./keys.ts";

/** An entry with the hash of the one before, so that whoever gets it can check the chain. */
export interface ReadEntry extends Entry {
  readonly previous: string;
}

/** Entries that are read at once. */
const pageEntries = 200;

/** The log of a data directory, for reading, also beside a running service. */
export class AuditReader implements Disposable {
  readonly #head: Head | undefined;
  readonly #database: AuditDatabase;
  /** Today's keys, then those from before each rotation. */
  readonly #keys: readonly { readonly digest: Buffer; readonly text: Buffer }[];

  constructor(dataDir: string) {
    // Before the entries: a running service only moves it forward.
    this.#head = readHead(join(dataDir, "audit.head"), readAuditKeys(dataDir).head);
    this.#database = openToRead(dataDir);
    this.#keys = [readAuditKeys(dataDir), ...formerSecrets(this.#database).map(deriveKeys)];
  }

  /** In order. Throws a sentence at the first entry that does not follow from the one before, and behind the last when the log goes on in `audit.head`. */
  *entries({ fromSeq = 1 }: { fromSeq?: number } = {}): Generator<ReadEntry> {
    const head = this.#head;
    const at = this.#database.prepare<[number], { hash: string }>("SELECT hash FROM entries WHERE seq = ?");
    const hashAt = (seq: number): string | undefined => (seq === 0 ? genesisHash : at.get(seq)?.hash);
    let previous = hashAt(fromSeq - 1) ?? genesisHash;
    let expected = fromSeq;
    let isMet = head !== undefined && head.seq < fromSeq && hashAt(head.seq) === head.hash;
    for (const entry of this.#from(fromSeq)) {
      if (entry.seq !== expected || entryHash(previous, entry) !== entry.hash)
        throw new Error(
          `Entry ${entry.seq} does not follow from the one before: it was altered, moved, or others are missing. See \`npx sallyport audit verify\`.`,
        );
      yield { ...entry, previous };
      previous = entry.hash;
      expected += 1;
      isMet ||= head?.seq === entry.seq && head.hash === entry.hash;
    }
    if (!isMet)
      throw new Error(
        "The log does not hold what audit.head says of its end: entries were cut off, or one of the two was replaced. See `npx sallyport audit verify`.",
      );
    if (hashAt(fromSeq - 1) === undefined) throw new Error(`There is no entry ${fromSeq - 1} yet, and so none that follows it.`);
  }

  /** Not one long query: whoever takes the entries may be slow, and until it ends a running service could not write over what its write-ahead log holds. */
  *#from(seq: number): Generator<Entry> {
    const next = this.#database.prepare<[number, number], Entry>("SELECT * FROM entries WHERE seq >= ? ORDER BY seq LIMIT ?");
    for (let at = seq, more = true; more; ) {
      const page = next.all(at, pageEntries);
      yield* page;
      at = (page.at(-1)?.seq ?? at) + 1;
      more = page.length === pageEntries;
    }
  }

  /** Keyed hashes that a text may have in the log: by today's key, and by those before. */
  digests(text: string): string[] {
    return this.#keys.map(({ digest }) => createHmac("sha256", digest).update(text).digest("hex"));
  }

  /** A stored text, decrypted. Undefined when it is not stored. Throws when no key opens it. */
  text(name: string): string | undefined {
    const sealed = this.#database.prepare<[string], { sealed: Buffer }>("SELECT sealed FROM texts WHERE sha256 = ?").get(name)?.sealed;
    if (sealed === undefined) return undefined;
    for (const { text } of this.#keys) {
      try {
        const decipher = createDecipheriv("aes-256-gcm", text, sealed.subarray(0, 12)).setAuthTag(sealed.subarray(-16));
        return decipher.update(sealed.subarray(12, -16), undefined, "utf8") + decipher.final("utf8");
      } catch {
        // Sealed under another key.
      }
    }
    throw new Error(`The stored text ${name} can't be decrypted: it was altered.`);
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

/** Secrets from before a rotation, newest first. They stand in the database, under today's key. */
export function formerSecrets(database: AuditDatabase): Buffer[] {
  const has = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'former_keys'").get() !== undefined;
  return has
    ? database
        .prepare<[], { secret: Buffer }>("SELECT secret FROM former_keys ORDER BY rowid DESC")
        .all()
        .map((row) => row.secret)
    : [];
}
