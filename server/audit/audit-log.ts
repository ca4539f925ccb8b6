import { createCipheriv, createHash, createHmac, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statfsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type AuditDatabase, type Entry, type EntryKind, entryWriter, lastEntries, openAuditDatabase } from "./database.ts";
import { genesisHead, HeadFile, readHead, standsBeside } from "./head.ts";
import { type AuditKeys, readAuditKeys } from "./keys.ts";
import { lockData, refuseHalfRestored, removeReplacedBatches } from "./lock.ts";
import { Quotas } from "./quotas.ts";
import { finishKeyRotation } from "./rotate-key.ts";

/** With less room than this, in bytes, the next entry may fail. */
const roomMin = 1 << 20;

/** Writes the log. What `append` returns from is durable; what it throws on was not acknowledged to anybody. */
export class AuditLog {
  readonly path: string;
  readonly quotas: Quotas;
  readonly #keys: AuditKeys;
  readonly #database: AuditDatabase;
  readonly #head: HeadFile;
  readonly #lock: Disposable;
  readonly #files: ReadonlyMap<string, number>;
  readonly #append: (kind: EntryKind, call: string, body: string, texts: readonly Buffer[]) => Entry;

  /** The last entry, when the head could not be written after it: no other is, before that. */
  #unwritten: Entry | undefined;

  private constructor(path: string, keys: AuditKeys, lock: Disposable, database: AuditDatabase) {
    this.path = path;
    this.#keys = keys;
    this.#lock = lock;
    this.#database = database;
    this.quotas = new Quotas(database);
    const write = entryWriter(database);
    const store = this.#database.prepare<[string, Buffer]>("INSERT OR IGNORE INTO texts VALUES (?, ?)");
    this.#head = this.#openHead(join(dirname(path), "audit.head"), lastEntries(database, 1)[0]);
    this.#files = new Map([path, `${path}-wal`, join(dirname(path), "audit.head")].map((file) => [file, statSync(file).ino]));
    this.#append = this.#database.transaction((kind: EntryKind, call: string, body: string, texts: readonly Buffer[]) => {
      for (const sealed of texts) store.run(sha256(sealed), sealed);
      return write(kind, call, body);
    }).immediate;
  }

  /** Opens the log of a data directory for this process alone, and settles the calls that a crash left open. `about` goes into its first entry. */
  static open(dataDir: string, about: object): AuditLog {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    using opened = new DisposableStack();
    const lock = opened.use(lockData(dataDir));
    refuseHalfRestored(dataDir);
    removeReplacedBatches(dataDir);
    finishKeyRotation(dataDir);
    const keys = readAuditKeys(dataDir);
    const path = join(dataDir, "audit.db");
    const database = opened.adopt(openAuditDatabase(path, keys.database), (one) => one.close());
    const log = new AuditLog(path, keys, lock, database);
    log.#settleInterrupted();
    log.append("started", "", about);
    opened.move();
    return log;
  }

  /** Throws when the entry could not be made durable. */
  append(kind: EntryKind, call: string, body: object, texts: readonly Buffer[] = []): void {
    const replaced = this.#replaced();
    if (replaced !== undefined) throw new Error(replaced);
    if (this.#unwritten !== undefined) this.#writeHead(this.#unwritten);
    this.#writeHead(this.#append(kind, call, JSON.stringify(body), texts));
  }

  /** Keyed hash of a text, hexadecimal: the same text always gives the same, and nothing else tells what it was. */
  digest(text: string): string {
    return createHmac("sha256", this.#keys.digest).update(text).digest("hex");
  }

  /** Encrypts a text for storage: 12 bytes nonce, ciphertext, 16 bytes tag (AES-256-GCM). `name` is how an entry refers to it. */
  seal(text: string): { name: string; sealed: Buffer } {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", this.#keys.text, nonce);
    const sealed = Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
    return { name: sha256(sealed), sealed };
  }

  /** Undefined when an entry could be written now, otherwise why not. */
  get notWritable(): string | undefined {
    try {
      const replaced = this.#replaced();
      if (replaced !== undefined) return replaced;
      this.#database.exec("BEGIN IMMEDIATE; ROLLBACK");
      const { bavail, bsize } = statfsSync(this.path);
      if (bavail * bsize < roomMin) return `There is no room for the audit log ${this.path}: free some space.`;
      return undefined;
    } catch (error) {
      return `The audit log ${this.path} can't be written: ${(error as Error).message}.`;
    }
  }

  close(): void {
    try {
      this.append("stopped", "", {});
    } finally {
      this.#head.close();
      this.#database.close();
      this.#lock[Symbol.dispose]();
    }
  }

  /** SQLite goes on writing into files that have been deleted; what it writes there is lost. */
  #replaced(): string | undefined {
    const gone = [...this.#files].find(([file, inode]) => statSync(file, { throwIfNoEntry: false })?.ino !== inode);
    return gone && `${gone[0]} was removed or replaced while the service ran.`;
  }

  #writeHead(entry: Entry): void {
    this.#unwritten = entry;
    this.#head.write(entry);
    this.#unwritten = undefined;
  }

  #openHead(path: string, last: Entry | undefined): HeadFile {
    // Nothing was ever acknowledged by a log that has no entry: a first start may have ended anywhere.
    const unwritten = !existsSync(path) || readFileSync(path).every((byte) => byte === 0);
    if (last === undefined && unwritten) return HeadFile.create(path, this.#keys.head);
    const head = readHead(path, this.#keys.head);
    const at = head && this.#database.prepare<[number], Entry>("SELECT * FROM entries WHERE seq = ?").get(head.seq);
    const follows = head !== undefined && standsBeside(head, last?.seq ?? 0) && (at?.hash ?? genesisHead.hash) === head.hash;
    if (follows) {
      const file = HeadFile.open(path, this.#keys.head);
      // Mends the half that a crash left behind or torn.
      if (last !== undefined) file.write(last);
      return file;
    }
    throw new Error(
      `The audit log ${this.path} does not end where ${path} says: entries are missing, or one of the two files was replaced. ` +
        "Run `npx sallyport audit verify`; restore both files from one backup, or move both away to begin a new log.",
    );
  }

  #settleInterrupted(): void {
    const open = this.#database
      .prepare<[], { call: string }>(
        `SELECT call FROM entries WHERE seq > (SELECT coalesce(max(seq), 0) FROM entries WHERE kind = 'started')
         GROUP BY call HAVING count(*) = 1 AND min(kind) = 'received'`,
      )
      .all();
    for (const { call } of open) this.append("settled", call, { outcome: "interrupted" });
  }
}

function sha256(data: Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}
