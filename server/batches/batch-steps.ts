import { setImmediate as turn } from "node:timers/promises";
import { Fault } from "../fault.ts";
import { newId } from "../new-id.ts";
import type { Caller } from "../pipeline/call.ts";
import type { BatchError } from "../wire/batch-replies.ts";
import { type Job, nowS } from "./batch.ts";
import { readLine } from "./batch-line.ts";
import type { BatchStore } from "./batch-store.ts";
import { type BatchLimits, noRoom } from "./upload.ts";

/** What came of one line: what an endpoint would have answered to it. */
export interface LineReply {
  readonly requestId: string;
  readonly status: number;
  readonly body: object;
  /** It may be answered when it is asked again, after so long; as often as it takes, or a few times. */
  readonly again?: { readonly afterMs: number; readonly timesMax: number };
}

/** An endpoint as a batch asks it. */
export interface LineEndpoint {
  /** Throws a `Fault` for a body that it would not take. */
  check(body: unknown): void;
  /** Undefined when it was aborted before there was an answer. */
  ask(body: unknown, caller: Caller, signal: AbortSignal): Promise<LineReply | undefined>;
}

export type LineEndpoints = ReadonlyMap<string, LineEndpoint>;

export interface BatchSettings {
  /** Who the holder of a certificate is now; throws when it is nobody who may call. */
  readonly callerBy: (certificate: Buffer) => Caller;
  readonly limits: BatchLimits;
}

/** How often a running line's certificate is looked at. */
const lookEveryMs = 500;
/** Errors of a file that are told. */
const errorsMax = 100;
/** Lines that are looked at, or written off, before others have their turn. */
const linesAtOnce = 200;

const cutShort = {
  expired: "The batch expired before this line was asked.",
  cancelled: "The batch was cancelled before this line was asked.",
} as const;

/** What is done next for one batch: its file is looked at, a line is asked, or it ends. */
export class BatchSteps {
  endpoints: LineEndpoints = new Map();
  readonly #store: BatchStore;
  readonly #settings: BatchSettings;
  /** Of batches whose line is to be asked again: when, and how often it was asked for what may be its own fault. */
  readonly #again = new Map<string, { readonly atMs: number; readonly times: number }>();
  /** The file that is being looked at, by caller: one of each at a time. */
  readonly #validating = new Map<string, Validating>();
  /** What came of a line and could not be stored, as on a full disk, by batch: it is not asked a second time. */
  readonly #unstored = new Map<string, Result>();
  /** What ends the line that runs, by batch. */
  readonly #running = new Map<string, AbortController>();

  constructor(store: BatchStore, settings: BatchSettings) {
    this.#store = store;
    this.#settings = settings;
  }

  /** Whether a line of the batch is to be asked again, and not yet. */
  isPutOff(id: string): boolean {
    return (this.#again.get(id)?.atMs ?? 0) > performance.now();
  }

  /** Whether a line of the batch runs: nothing else may be done for it meanwhile. */
  isRunning(id: string): boolean {
    return this.#running.has(id);
  }

  /** Aborts the line of this batch that runs, if one does. */
  stop(id: string): void {
    this.#running.get(id)?.abort();
  }

  stopAll(): void {
    for (const stop of this.#running.values()) stop.abort();
  }

  async step(job: Job): Promise<void> {
    const { status, expires_at } = job.batch;
    const isOver = status !== "validating" || expires_at <= nowS();
    if (isOver && this.#validating.get(job.owner)?.batch === job.batch.id) this.#validating.delete(job.owner);
    if (status === "cancelling") await this.#cutShort(job, "cancelled");
    else if (expires_at <= nowS()) await this.#cutShort(job, "expired");
    else if (status === "validating") await this.#validate(job);
    else await this.#line(job);
  }

  /** The whole file before any line is asked, so that nobody learns after hours that its last line was wrong; a piece of it in each step. */
  async #validate(job: Job): Promise<void> {
    const { id, endpoint, input_file_id } = job.batch;
    const own = this.#validating.get(job.owner) ?? { batch: id, next: 1, known: new Set(), errors: [] };
    if (own.batch !== id) return;
    this.#validating.set(job.owner, own);
    const { known, errors } = own;
    const total = this.#store.lineCount(input_file_id);
    if (total === 0) errors.splice(0, errors.length, inputGone); // also when it was removed meanwhile
    for (const until = own.next + linesAtOnce; own.next < until && own.next <= total && errors.length < errorsMax; own.next += 1) {
      const line = own.next;
      try {
        const { customId, body } = this.#read(job, line);
        if (known.has(customId)) throw new Fault("invalid_value", "`custom_id` stands in a line before, too.", { param: "custom_id" });
        known.add(customId);
        this.#endpoint(endpoint).check(body);
      } catch (error) {
        if (!(error instanceof Fault)) {
          this.#validating.delete(job.owner);
          throw error;
        }
        errors.push({ code: error.code, message: `Line ${line}: ${error.message}`, param: error.param ?? null, line });
      }
      await turn();
    }
    if (own.next <= total && errors.length < errorsMax) return;
    this.#validating.delete(job.owner);
    if (this.#store.job(job.owner, id).batch.status === "cancelling") return;
    if (errors.length > 0) this.#store.end(job, "failed", errors);
    else this.#store.change(job, { status: "in_progress", in_progress_at: nowS(), request_counts: { total, completed: 0, failed: 0 } });
  }

  async #line(job: Job): Promise<void> {
    const { id, request_counts: counts } = job.batch;
    const number = counts.completed + counts.failed + 1;
    if (number > counts.total) return this.#store.end(job, "completed");
    const caller = this.#callerOf(job);
    if (caller === undefined) return this.#store.end(job, "failed", [{ ...notTheCaller, line: number }]);
    if (this.#store.line(job.batch.input_file_id, number) === undefined)
      return this.#store.end(job, "failed", [{ ...inputGone, line: number }]);
    if (this.#hasNoRoom(job)) return this.#store.end(job, "failed", [{ ...outOfRoom, line: number }]);
    const made = this.#unstored.get(id) ?? (await this.#asked(job, number, caller));
    if (made === undefined) return;
    this.#unstored.set(id, made);
    this.#store.record(job, number, made.kind, [made.text]);
    this.#unstored.delete(id);
  }

  /** Undefined when it was aborted, or is to be asked again. */
  async #asked(job: Job, number: number, caller: Caller): Promise<Result | undefined> {
    const { id, endpoint } = job.batch;
    const { customId, body } = this.#read(job, number);
    const stop = new AbortController();
    this.#running.set(id, stop);
    const watch = setInterval(() => {
      if (this.#callerOf(job) === undefined || job.batch.expires_at <= nowS()) stop.abort();
    }, lookEveryMs);
    try {
      const reply = await this.#endpoint(endpoint).ask(body, caller, stop.signal);
      if (reply === undefined || this.#putsOff(id, reply)) return undefined;
      const response = { status_code: reply.status, request_id: reply.requestId, body: reply.body };
      return { kind: reply.status === 200 ? "completed" : "failed", text: resultOf(customId, response, null) };
    } finally {
      clearInterval(watch);
      this.#running.delete(id);
    }
  }

  #putsOff(id: string, { again }: LineReply): boolean {
    const before = this.#again.get(id)?.times ?? 0;
    this.#again.delete(id);
    if (again === undefined || before >= again.timesMax) return false;
    // What passes by itself says nothing about the line.
    const times = before + (Number.isFinite(again.timesMax) ? 1 : 0);
    this.#again.set(id, { atMs: performance.now() + again.afterMs, times });
    return true;
  }

  /** Says of lines that were not asked why they were not; of so many at a time, since a batch is long and others have their turn. */
  async #cutShort(job: Job, how: keyof typeof cutShort): Promise<void> {
    this.#unstored.delete(job.batch.id);
    const { total, completed, failed } = job.batch.request_counts;
    const first = completed + failed + 1;
    if (first <= total && this.#hasNoRoom(job)) return this.#store.end(job, how, [{ ...outOfRoom, line: first }]);
    const results: Buffer[] = [];
    for (let number = first; number <= total && results.length < linesAtOnce; number += 1) {
      if (this.#store.line(job.batch.input_file_id, number) === undefined) break;
      const { customId } = this.#read(job, number);
      results.push(resultOf(customId, null, { code: `batch_${how}`, message: cutShort[how] }));
      await turn();
    }
    if (results.length === 0) this.#store.end(job, how);
    else this.#store.record(job, first, "failed", results);
  }

  #hasNoRoom({ owner }: Job): boolean {
    return this.#store.bytesOf(owner) > this.#settings.limits.caller_bytes_max;
  }

  #read({ batch: { input_file_id, endpoint } }: Job, number: number): ReturnType<typeof readLine> {
    return readLine(this.#store.line(input_file_id, number) ?? Buffer.from(""), endpoint, this.#settings.limits.json_depth_max);
  }

  /** Undefined when its certificate does not count any more, or names somebody else by now. */
  #callerOf({ owner, certificate }: Job): Caller | undefined {
    try {
      const caller = this.#settings.callerBy(certificate);
      return caller.name === owner ? caller : undefined;
    } catch {
      return undefined;
    }
  }

  #endpoint(path: string): LineEndpoint {
    const endpoint = this.endpoints.get(path);
    if (endpoint === undefined) throw new Fault("invalid_value", "`endpoint` is not one that batches ask.", { param: "endpoint" });
    return endpoint;
  }
}

interface Result {
  readonly kind: "completed" | "failed";
  readonly text: Buffer;
}

/** How far a file was looked at. */
interface Validating {
  readonly batch: string;
  next: number;
  readonly known: Set<string>;
  readonly errors: BatchError[];
}

const inputGone: BatchError = {
  code: "file_not_found",
  message: "The input file is not there any more.",
  param: "input_file_id",
  line: null,
};
const notTheCaller: BatchError = {
  code: "identity_refused",
  message: "The certificate that asked for this batch does not count any more.",
  param: null,
  line: null,
};
const outOfRoom: BatchError = {
  code: "quota_exceeded",
  message: noRoom,
  param: null,
  line: null,
};

function resultOf(customId: string, response: object | null, error: object | null): Buffer {
  const id = newId("batch_req_");
  return Buffer.from(`${JSON.stringify({ id, custom_id: customId, response, error })}\n`);
}
