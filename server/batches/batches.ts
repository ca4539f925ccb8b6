import { setImmediate as turn } from "node:timers/promises";
import type { Events } from "../events.ts";
import { Fault } from "../fault.ts";
import type { Batch } from "../wire/batch-replies.ts";
import { type Job, newBatch, nowS } from "./batch.ts";
import { type BatchSettings, BatchSteps, type LineEndpoints } from "./batch-steps.ts";
import type { BatchStore } from "./batch-store.ts";
import { type BatchLimits, Upload } from "./upload.ts";

/** How often batches that wait are looked at. */
const lookEveryMs = 500;
const removeEveryMs = 600_000;

/**
 * Asks the lines of batches, one of each caller at a time. A line is done when what came of it is on disk: after a crash the next start goes on
 * behind it, and asks a line that was running again.
 */
export class Batches implements AsyncDisposable {
  readonly store: BatchStore;
  readonly limits: BatchLimits;
  readonly #events: Events;
  readonly #closing = new AbortController();
  readonly #steps: BatchSteps;
  /** Lines that are being asked, by the caller whose they are. */
  readonly #asking = new Map<string, Promise<void>>();
  #wake = Promise.withResolvers<void>();
  #work: Promise<void> | undefined;

  constructor(store: BatchStore, settings: BatchSettings, events: Events) {
    this.store = store;
    this.#steps = new BatchSteps(store, settings);
    this.limits = settings.limits;
    this.#events = events;
  }

  /** Begins a file of a caller. */
  upload(owner: string, name: string): Upload {
    this.store.checkCount(owner);
    return new Upload(this.store, owner, name, this.limits);
  }

  /** Removes a file, whosever it is, and whole or not. */
  remove(file: string): void {
    this.store.dropFile(file);
    this.#wake.resolve();
  }

  start(endpoints: LineEndpoints): void {
    this.#steps.endpoints = endpoints;
    this.#work = this.#rounds();
  }

  create(owner: string, certificate: Buffer, asked: Pick<Batch, "endpoint" | "input_file_id" | "metadata">): Batch {
    if (this.store.file(owner, asked.input_file_id).purpose !== "batch")
      throw new Fault("invalid_value", "`input_file_id` names what came of a batch.", { param: "input_file_id" });
    this.store.checkCount(owner);
    const batch = newBatch(asked);
    this.store.addBatch(owner, certificate, batch);
    this.#wake.resolve();
    return batch;
  }

  cancel(owner: string, id: string): Batch {
    const job = this.store.job(owner, id);
    const { status } = job.batch;
    if (status === "cancelling" || status === "cancelled") return job.batch;
    if (status !== "validating" && status !== "in_progress")
      throw new Fault("invalid_value", `The batch has ended already: it is ${status}.`, { param: "batch_id" });
    const batch = this.store.change(job, { status: "cancelling", cancelling_at: nowS() });
    this.#steps.stop(id);
    this.#wake.resolve();
    return batch;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#steps.stopAll();
    this.#wake.resolve();
    await this.#work;
    await Promise.all(this.#asking.values());
    this.store.close();
  }

  async #rounds(): Promise<void> {
    for (let removedMs = Number.NEGATIVE_INFINITY; !this.#closing.signal.aborted; ) {
      const isDue = performance.now() - removedMs > removeEveryMs;
      if (isDue) removedMs = performance.now();
      const erased = await this.#tried(() => {
        if (isDue) this.store.removeOld();
        return this.store.erase();
      });
      const worked = await this.#tried(() => this.#round());
      if (erased || worked) await turn();
      else await this.#rest();
    }
  }

  /** What fails, as in a step, holds nothing else up. */
  async #tried(work: () => boolean | Promise<boolean>): Promise<boolean> {
    try {
      return await work();
    } catch (error) {
      this.#events.failed({ error });
      return false;
    }
  }

  /** Until somebody asks for something; or a while, since time passes for batches that wait. */
  async #rest(): Promise<void> {
    const timer = setTimeout(() => this.#wake.resolve(), lookEveryMs).unref();
    await this.#wake.promise;
    clearTimeout(timer);
    this.#wake = Promise.withResolvers();
  }

  /** A step of every batch that needs one; a line is begun and goes on beside, however long it waits. Returns whether there was anything to do. */
  async #round(): Promise<boolean> {
    let worked = false;
    const waits = (owner: string, { id, status, expires_at }: Pick<Batch, "id" | "status" | "expires_at">): boolean =>
      this.#steps.isRunning(id) ||
      (status === "in_progress" && expires_at > nowS() && (this.#asking.has(owner) || this.#steps.isPutOff(id)));
    for (const { owner, ...found } of this.store.active()) {
      if (this.#closing.signal.aborted) break;
      if (waits(owner, found)) continue;
      const job = this.store.job(owner, found.id); // as it is now
      if (waits(owner, job.batch)) continue;
      const isLine = job.batch.status === "in_progress" && job.batch.expires_at > nowS();
      if (isLine) this.#asking.set(owner, this.#ask(job));
      worked = isLine || (await this.#step(job)) || worked;
    }
    return worked;
  }

  async #ask(job: Job): Promise<void> {
    if (await this.#step(job)) this.#wake.resolve();
    this.#asking.delete(job.owner);
  }

  /** Returns whether it went well. What failed by the disk, or a mistake of ours, holds nothing else up: nothing is lost, and it is tried again. */
  async #step(job: Job): Promise<boolean> {
    try {
      await this.#steps.step(job).catch((error: unknown) => {
        // A line that was taken can't be read any more: the configuration has changed since.
        if (!(error instanceof Fault)) throw error;
        this.store.end(job, "failed", [{ code: error.code, message: error.message, param: error.param ?? null, line: null }]);
      });
      return true;
    } catch (error) {
      this.#events.failed({ error });
      return false;
    }
  }
}
