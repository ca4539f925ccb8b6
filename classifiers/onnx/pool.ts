import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Piscina } from "piscina";
import type { View } from "../views/views.ts";
import type { Tokens } from "./tokens.ts";
import type { Input, WorkerSettings } from "./worker.ts";

export interface PoolSettings {
  readonly device?: WorkerSettings["device"];
  /** Threads that classify; 0 or none given: one a core, at most four. */
  readonly workers?: number;
  /** Texts that may wait or be computed at the same time. */
  readonly queueMax?: number;
}

/** More texts wait than `queueMax` allows. */
export class ClassifiersBusyError extends Error {}

/** Threads with a queue of their own. */
interface Crew {
  readonly piscina: Piscina;
  readonly threads: number;
  /** That wait or are computed. */
  tasks: number;
}

const workersMax = 4;
const queueMaxDefault = 256;

/** The worker threads: what ONNX computes, it computes on the thread that asks, and that must not be the one that serves. One is there from the start, the others after `grow`. */
export class Pool implements AsyncDisposable {
  readonly workers: number;
  readonly device: WorkerSettings["device"];
  readonly #workerData: WorkerSettings;
  readonly #models: readonly string[];
  /** Also those that may not have opened the models yet. */
  readonly #piscinas: Piscina[] = [];
  /** What gets work: one thread, and after `grow` the others. */
  readonly #crews: Crew[] = [];
  readonly #queueMax: number;
  readonly #tokenising = new Map<string, Promise<Tokens>>();
  readonly #unveiling = new Map<string, Promise<View>>();
  #texts = 0;
  readonly #given = new Set<Promise<unknown>>();
  #closed = false;

  /** @param models paths of the files that every thread opens before it takes work. */
  constructor(tokenizer: URL, models: readonly string[], { device = "cpu", workers = 0, queueMax = queueMaxDefault }: PoolSettings) {
    this.workers = workers > 0 ? workers : Math.min(workersMax, availableParallelism());
    this.device = device;
    this.#queueMax = queueMax;
    this.#models = models;
    this.#workerData = { tokenizer: tokenizer.href, device, threads: 1 };
    // Since 1.29 the ONNX Runtime reports sessions and names of models to its maker. It looks at the environment of the process, which only the main thread can change.
    process.env.ORT_DISABLE_TELEMETRY = "1";
    this.#crews.push(this.#crewOf(1));
  }

  #crewOf(threads: number): Crew {
    const piscina = new Piscina({
      filename: fileURLToPath(new URL("worker.ts", import.meta.url)),
      minThreads: threads,
      maxThreads: threads,
      idleTimeout: Number.POSITIVE_INFINITY,
      workerData: this.#workerData,
    });
    // It starts a thread in the place of one that has ended, and says so here when that fails too: what waits must not do so for ever. The next text has it tried again.
    piscina.on("error", () => {
      if (piscina.threads.length === 0) void piscina.destroy();
    });
    this.#piscinas.push(piscina);
    return { piscina, threads, tasks: 0 };
  }

  /** Once the first thread is ready. Throws with a sentence when the device can't compute a model. */
  async ready(): Promise<void> {
    try {
      await this.#give("open", this.#models);
    } catch (cause) {
      const because = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`The classifiers can't run on \`${this.device}\` here: ${because}. \`classifiers.device: cpu\` always works.`, {
        cause,
      });
    }
  }

  /** Starts the other threads. They get work when all of them have opened the models; piscina would give it to them before. */
  grow(): void {
    if (this.workers === 1) return;
    const others = this.#crewOf(this.workers - 1);
    const opened = Promise.all(Array.from({ length: others.threads }, () => this.#give("open", this.#models, others)));
    // What they could not open, the texts will say that come to the first thread.
    opened.then(() => this.#crews.push(others)).catch(() => {});
  }

  /** Runs `work` on one text. Throws `ClassifiersBusyError` when too many are there already. */
  async admit<T>(work: () => Promise<T>): Promise<T> {
    if (this.#texts >= this.#queueMax) {
      throw new ClassifiersBusyError(`The classifiers have ${this.#queueMax} texts to judge already. Ask again in a moment.`);
    }
    this.#texts += 1;
    try {
      return await work();
    } finally {
      this.#texts -= 1;
    }
  }

  /** Once for all classifiers that look at the same text at the same time. */
  async tokenise(text: string, signal?: AbortSignal): Promise<Tokens> {
    signal?.throwIfAborted();
    return await once(this.#tokenising, text, () => this.#give("tokenise", text));
  }

  /** The text with its disguises taken off; once for all who ask at the same time. */
  async unveil(text: string, signal?: AbortSignal): Promise<View> {
    signal?.throwIfAborted();
    return await once(this.#unveiling, text, () => this.#give("unveil", text));
  }

  /** Logits of each input, in order. A text has no more windows at work than there are workers, so that a long one lets short ones by. */
  async compute(inputs: readonly Input[], signal?: AbortSignal): Promise<Float32Array[]> {
    const outputs: Float32Array[] = [];
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let index = next++; index < inputs.length; index = next++) {
        try {
          signal?.throwIfAborted();
          outputs[index] = await this.#give("compute", inputs[index]);
        } catch (error) {
          next = inputs.length; // the other lanes stop too
          throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.workers, inputs.length) }, lane));
    return outputs;
  }

  /** @param name what a worker exports. */
  async #give<Result>(name: keyof typeof import("./worker.ts"), task: unknown, crew = this.#idlest()): Promise<Result> {
    if (this.#closed) throw new Error("The classifiers are closed.");
    const result: Promise<Result> = crew.piscina.run(task, { name });
    this.#given.add(result);
    crew.tasks += 1;
    try {
      return await result;
    } finally {
      crew.tasks -= 1;
      this.#given.delete(result);
    }
  }

  #idlest(): Crew {
    return this.#crews.reduce((best, one) => (one.tasks / one.threads < best.tasks / best.threads ? one : best));
  }

  /** What the workers were given is finished first, since ending a thread inside the runtime ends the process; no more is given to them. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#given);
    await Promise.all(this.#piscinas.map((one) => one.destroy()));
  }
}

async function once<Result>(begun: Map<string, Promise<Result>>, text: string, begin: () => Promise<Result>): Promise<Result> {
  const running = begun.get(text);
  if (running !== undefined) return await running;
  const result = begin();
  begun.set(text, result);
  try {
    return await result;
  } finally {
    begun.delete(text);
  }
}
