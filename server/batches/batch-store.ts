import { type EncryptedDatabase, openEncrypted, type Statement } from "../audit/encrypted-database.ts";
import { batchesPath, readAuditKeys } from "../audit/keys.ts";
import { Fault } from "../fault.ts";
import { newId } from "../new-id.ts";
import type { Batch, BatchError, StoredFile } from "../wire/batch-replies.ts";
import type { BatchListQuery, FileListQuery } from "../wire/batch-request.ts";
import { type Job, nowS } from "./batch.ts";

const what = "The database of files and batches";

/** Of each, for one caller: a limit on what has hardly any bytes. */
const keptMax = 1_000;

/** What a line takes on the disk beside its text, in bytes: the name of its file stands there twice. */
const lineBytes = 110;

/** Of lines of a removed file that go in one transaction: what is removed is overwritten. */
const removedAtOnce = 50;
/** Pages that are given back to the disk in one transaction. */
const pagesAtOnce = 250;

/** A file is its lines, so that no file is ever in memory whole. One that is not `ready` is being written, or removed, and seen by nobody. */
const schema = `
  PRAGMA secure_delete = ON;
  CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, purpose TEXT NOT NULL, filename TEXT NOT NULL, bytes INTEGER NOT NULL, ready INTEGER NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS files_owner ON files (owner);
  CREATE TABLE IF NOT EXISTS lines (file TEXT NOT NULL, number INTEGER NOT NULL, text BLOB NOT NULL, PRIMARY KEY (file, number)) STRICT;
  CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, certificate BLOB NOT NULL, output_file TEXT NOT NULL, error_file TEXT NOT NULL, ended INTEGER NOT NULL,
    gone_at INTEGER NOT NULL, body TEXT NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS batches_owner ON batches (owner);
`;

/** What of a file came later: how many lines it has, and whether it is removed, so that its lines go bit by bit; before, it had no owner then. */
const sinceRemovedFilesCount = `
  ALTER TABLE files ADD COLUMN line_count INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE files ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
  UPDATE files SET line_count = (SELECT count(*) FROM lines WHERE file = id), removed = (owner = '');
  CREATE INDEX files_removed ON files (id) WHERE removed;
`;

interface BatchRow {
  readonly id: string;
  readonly owner: string;
  readonly certificate: Buffer;
  readonly output_file: string;
  readonly error_file: string;
  readonly body: string;
}

/** What tells whether a batch has anything to do. */
type Active = Pick<Batch, "id" | "status" | "expires_at"> & { readonly owner: string };

/** Files and batches on disk, encrypted. What belongs to one caller is found under its name only: to anybody else it is not there. */
export class BatchStore {
  readonly #database: EncryptedDatabase;
  readonly #retentionS: number;
  readonly #statements = new Map<string, Statement>();

  constructor(dataDir: string, retentionDays: number) {
    this.#retentionS = retentionDays * 86_400;
    this.#database = openEncrypted(batchesPath(dataDir), readAuditKeys(dataDir).batches, what, schema, { shrinks: true });
    this.#atOnce(() => {
      const counts = this.#database.prepare("SELECT 1 FROM pragma_table_info('files') WHERE name = 'removed'").get() !== undefined;
      if (!counts) this.#database.exec(sinceRemovedFilesCount);
    });
    // Uploads that a crash has cut off.
    this.#run("UPDATE files SET removed = 1 WHERE NOT ready AND purpose = 'batch'");
  }

  /** Begins a file, which nobody sees until it is `complete`. */
  beginFile(owner: string, purpose: StoredFile["purpose"], filename: string): string {
    const id = newId("file-");
    const columns = "id, owner, purpose, filename, bytes, ready, created_at, expires_at";
    this.#run(`INSERT INTO files (${columns}) VALUES (?, ?, ?, ?, 0, 0, 0, 0)`, id, owner, purpose, filename);
    return id;
  }

  append(file: string, first: number, texts: readonly Buffer[]): void {
    this.#atOnce(() => {
      for (const [index, text] of texts.entries()) this.#run("INSERT INTO lines VALUES (?, ?, ?)", file, first + index, text);
      const bytes = texts.reduce((sum, text) => sum + text.length, 0);
      this.#run("UPDATE files SET bytes = bytes + ?, line_count = line_count + ? WHERE id = ?", bytes, texts.length, file);
    });
  }

  /** From now on the file is seen, and its time runs: what came of a batch is kept as long as any file, however long the batch went on. */
  completeFile(file: string): void {
    const now = nowS();
    this.#run("UPDATE files SET ready = 1, created_at = ?, expires_at = ? WHERE id = ?", now, now + this.#retentionS, file);
  }

  file(owner: string, id: string): StoredFile {
    const found = this.#get<FileRow>(`${filesSeen} AND id = :id`, { owner, now: nowS(), id });
    if (found === undefined) throw new Fault("file_not_found");
    return shown(found);
  }

  files(owner: string, { limit, after, order, purpose }: FileListQuery): StoredFile[] {
    const sign = order === "desc" ? "<" : ">";
    return this.#all<FileRow>(
      `${filesSeen} AND (:purpose IS NULL OR purpose = :purpose) AND (:after IS NULL OR rowid ${sign} :after) ORDER BY rowid ${order} LIMIT :limit`,
      { owner, now: nowS(), purpose: purpose ?? null, after: this.#placeOf("files", owner, after), limit },
    ).map(shown);
  }

  /** Whosever it is, and whole or not. */
  dropFile(id: string): void {
    this.#run("UPDATE files SET removed = 1, ready = 0 WHERE id = ?", id);
  }

  /** Undefined past the end, or when there is no such file any more. */
  line(file: string, number: number): Buffer | undefined {
    return this.#get<{ text: Buffer }>(`SELECT text FROM lines WHERE file = :file AND number = :number AND ${isThere}`, { file, number })
      ?.text;
  }

  lineCount(file: string): number {
    return this.#get<{ line_count: number }>("SELECT line_count FROM files WHERE id = ? AND NOT removed", file)?.line_count ?? 0;
  }

  /** Throws at its end when the file was removed meanwhile: what came may not be all of it. */
  *content(file: string): Generator<Buffer> {
    // Not one long query: nothing else could be asked meanwhile.
    for (let at = 0; ; ) {
      const next = this.#get<{ number: number; text: Buffer }>(
        "SELECT number, text FROM lines WHERE file = ? AND number > ? ORDER BY number LIMIT 1",
        file,
        at,
      );
      if (next === undefined) break;
      at = next.number;
      yield next.text;
    }
    if (this.#get(`SELECT 1 WHERE ${isThere}`, { file }) === undefined) throw new Fault("file_not_found");
  }

  /** What all files of one caller take on the disk, about: those too that are being written, or removed and not erased yet. */
  bytesOf(owner: string): number {
    const sum = `SELECT sum(bytes + line_count * ${lineBytes}) AS bytes FROM files WHERE owner = ?`;
    return this.#get<{ bytes: number | null }>(sum, owner)?.bytes ?? 0;
  }

  /** Throws when a caller has as many files or batches as may be kept; one counts until it is erased. */
  checkCount(owner: string): void {
    for (const table of ["files", "batches"] as const) {
      const { count } = this.#get<{ count: number }>(`SELECT count(*) AS count FROM ${table} WHERE owner = ?`, owner) ?? { count: 0 };
      if (count >= keptMax) throw new Fault("quota_exceeded", `${keptMax} ${table} of this caller are kept already.`);
    }
  }

  addBatch(owner: string, certificate: Buffer, batch: Batch): void {
    this.#atOnce(() => {
      const output = this.beginFile(owner, "batch_output", `${batch.id}_output.jsonl`);
      const errors = this.beginFile(owner, "batch_output", `${batch.id}_error.jsonl`);
      const body = JSON.stringify(batch);
      this.#run("INSERT INTO batches VALUES (?, ?, ?, ?, ?, 0, 0, ?)", batch.id, owner, certificate, output, errors, body);
    });
  }

  job(owner: string, id: string): Job {
    const row = this.#get<BatchRow>("SELECT * FROM batches WHERE owner = ? AND id = ?", owner, id);
    if (row === undefined) throw new Fault("batch_not_found");
    return jobOf(row);
  }

  /** Newest first. */
  batches(owner: string, { limit, after }: BatchListQuery): Batch[] {
    return this.#all<BatchRow>(
      "SELECT * FROM batches WHERE owner = :owner AND (:after IS NULL OR rowid < :after) ORDER BY rowid DESC LIMIT :limit",
      { owner, after: this.#placeOf("batches", owner, after), limit },
    ).map((row) => jobOf(row).batch);
  }

  /** What has not ended, oldest first. */
  active(): Active[] {
    return this.#all<Active>(
      "SELECT owner, id, body ->> 'status' AS status, body ->> 'expires_at' AS expires_at FROM batches WHERE NOT ended ORDER BY rowid",
    );
  }

  change({ owner, batch: { id } }: Job, change: Partial<Batch>): Batch {
    const { batch } = this.job(owner, id);
    const changed = { ...batch, ...change };
    this.#run("UPDATE batches SET body = ? WHERE id = ?", JSON.stringify(changed), id);
    return changed;
  }

  /** What came of lines that follow each other, and that they are done: both or neither. */
  record(job: Job, first: number, kind: "completed" | "failed", texts: readonly Buffer[]): void {
    this.#atOnce(() => {
      this.append(kind === "completed" ? job.outputFile : job.errorFile, first, texts);
      const { request_counts: counts } = this.job(job.owner, job.batch.id).batch;
      this.change(job, { request_counts: { ...counts, [kind]: counts[kind] + texts.length } });
    });
  }

  /** Ends a batch; what came of its lines becomes files. */
  end(job: Job, status: "completed" | "failed" | "expired" | "cancelled", errors: BatchError[] = []): void {
    this.#atOnce(() => {
      this.change(job, {
        status,
        output_file_id: this.#fileOrNothing(job.outputFile),
        error_file_id: this.#fileOrNothing(job.errorFile),
        [`${status}_at`]: nowS(),
        ...(status === "completed" ? { finalizing_at: nowS() } : {}),
        ...(errors.length === 0 ? {} : { errors: { object: "list", data: errors } }),
      });
      this.#run("UPDATE batches SET ended = 1, gone_at = ? WHERE id = ?", nowS() + this.#retentionS, job.batch.id);
    });
  }

  /** Removes what has been kept long enough. */
  removeOld(): void {
    this.#run("UPDATE files SET removed = 1, ready = 0 WHERE ready AND expires_at <= ?", nowS());
    this.#run("DELETE FROM batches WHERE ended AND gone_at <= ?", nowS());
  }

  /** Erases a piece of what was removed, or gives a piece of the room that it left back to the disk. Returns whether there was anything. */
  erase(): boolean {
    const { id } = this.#get<{ id: string }>("SELECT id FROM files WHERE removed LIMIT 1") ?? {};
    if (id === undefined) return this.#shrink();
    const lines = "SELECT number FROM lines WHERE file = :id ORDER BY number LIMIT :count";
    const { changes } = this.#run(`DELETE FROM lines WHERE file = :id AND number IN (${lines})`, { id, count: removedAtOnce });
    if (changes === 0) this.#run("DELETE FROM files WHERE id = ?", id);
    return true;
  }

  close(): void {
    this.#database.close();
  }

  /** Where a list goes on: also behind a file that is removed, until it is erased. Throws when there is none such, and the list would seem to end. */
  #placeOf(table: "files" | "batches", owner: string, id: string | undefined): number | null {
    if (id === undefined) return null;
    const { rowid } = this.#get<{ rowid: number }>(`SELECT rowid FROM ${table} WHERE owner = ? AND id = ?`, owner, id) ?? {};
    if (rowid === undefined) throw new Fault(table === "files" ? "file_not_found" : "batch_not_found", undefined, { param: "after" });
    return rowid;
  }

  /** A database from before there was this keeps its size, and uses what is free in it again. */
  #shrink(): boolean {
    const free = (): number => this.#database.pragma("freelist_count", { simple: true }) as number; // as SQLite says it
    const before = free();
    if (before > 0) this.#database.pragma(`incremental_vacuum(${pagesAtOnce})`);
    return free() < before;
  }

  #fileOrNothing(file: string): string | null {
    const isEmpty = this.lineCount(file) === 0;
    if (isEmpty) this.dropFile(file);
    else this.completeFile(file);
    return isEmpty ? null : file;
  }

  #atOnce(work: () => void): void {
    this.#database.transaction(work).immediate();
  }

  #run(sql: string, ...values: unknown[]): ReturnType<Statement["run"]> {
    return this.#statement(sql).run(...values);
  }

  #get<Row>(sql: string, ...values: unknown[]): Row | undefined {
    return this.#statement(sql).get(...values) as Row | undefined; // as the statement names its columns
  }

  #all<Row>(sql: string, ...values: unknown[]): Row[] {
    return this.#statement(sql).all(...values) as Row[];
  }

  /** To prepare one takes six times as long as to run it, and a file is many lines. */
  #statement(sql: string): Statement {
    const statement = this.#statements.get(sql) ?? this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

/** How many files and unfinished batches a data directory holds; for whoever looks after it. */
export function countStored(dataDir: string): { files: number; unfinished: number } {
  const database = openEncrypted(batchesPath(dataDir), readAuditKeys(dataDir).batches, what);
  try {
    const sql = "SELECT (SELECT count(*) FROM files WHERE ready) AS files, (SELECT count(*) FROM batches WHERE NOT ended) AS unfinished";
    return database.prepare<[], { files: number; unfinished: number }>(sql).get() ?? { files: 0, unfinished: 0 };
  } finally {
    database.close();
  }
}

type FileRow = Pick<StoredFile, "id" | "bytes" | "created_at" | "expires_at" | "filename" | "purpose">;

const isThere = "EXISTS (SELECT 1 FROM files WHERE id = :file AND NOT removed)";

const filesSeen =
  "SELECT id, bytes, created_at, expires_at, filename, purpose FROM files WHERE owner = :owner AND ready AND expires_at > :now";

function shown({ id, ...rest }: FileRow): StoredFile {
  return { id, object: "file", ...rest, status: "processed" };
}

function jobOf({ owner, certificate, output_file: outputFile, error_file: errorFile, body }: BatchRow): Job {
  return { owner, certificate, outputFile, errorFile, batch: JSON.parse(body) as Batch }; // as `addBatch` and `change` wrote it
}
