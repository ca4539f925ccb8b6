import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { Fault } from "./fault.ts";

const deadlineMs = 2_000;
const startMs = 30_000;
const heapMaxMb = 256;
/** Tasks of one caller that wait. */
const waitingMax = 32;

/** How a task waits. */
export interface Place {
  /** Before all others of this caller, however many they are. */
  readonly first?: boolean;
  /** Until when somebody waits for the answer. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A thread for work that whoever sends a short text can make long. One task at a time, so that a deadline is the task's own: one that takes too long, or too
 * much memory, ends the thread, and the next one begins in a new one. Callers have their turns one after the other, however much one of them asks. Started with
 * the first task; keeps no process alive.
 */
export class DeadlineThread<Task, Answer> {
  readonly #file: URL;
  #worker: Promise<Worker> | undefined;
  /** What waits, by caller; whose turn is next comes first. */
  readonly #waiting = new Map<string, Array<() => void>>();
  #busy = false;

  /** @param file a module that posts one message when it is ready, and one answer a task. */
  constructor(file: URL) {
    this.#file = file;
  }

  /** Undefined when the task takes too long. Throws the fault `guards_busy` when too many of this caller wait, and the reason of `place.signal` as soon as that is aborted. */
  async answer(task: Task, caller: string, place: Place = {}): Promise<Answer | undefined> {
    const { signal } = place;
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Answer | undefined>();
    const leave = (): void => reject(signal?.reason);
    signal?.addEventListener("abort", leave);
    this.#inTurn(task, caller, place).then(resolve, reject);
    try {
      return await promise;
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }

  /** Whoever has left is passed over when its turn comes. */
  async #inTurn(task: Task, caller: string, { first = false, signal }: Place): Promise<Answer | undefined> {
    if (this.#busy) await this.#turn(caller, first);
    this.#busy = true;
    try {
      signal?.throwIfAborted();
      return await this.#answer(task);
    } finally {
      this.#next();
    }
  }

  async #turn(caller: string, first: boolean): Promise<void> {
    const own = this.#waiting.get(caller) ?? [];
    if (own.length >= waitingMax && !first) throw new Fault("guards_busy");
    const { promise, resolve } = Promise.withResolvers<void>();
    if (first) own.unshift(resolve);
    else own.push(resolve);
    this.#waiting.set(caller, own);
    await promise;
  }

  #next(): void {
    const [first] = this.#waiting;
    this.#busy = first !== undefined;
    if (first === undefined) return;
    const [caller, [go, ...others]] = first;
    this.#waiting.delete(caller);
    if (others.length > 0) this.#waiting.set(caller, others);
    go?.();
  }

  async #answer(task: Task): Promise<Answer | undefined> {
    this.#worker ??= start(this.#file);
    const thread = await this.#worker.catch((cause) => {
      this.#worker = undefined;
      throw cause;
    });
    thread.ref();
    try {
      thread.postMessage(task);
      const [answer] = await once(thread, "message", { signal: AbortSignal.timeout(deadlineMs) });
      return answer;
    } catch {
      this.#worker = undefined;
      await thread.terminate();
      return undefined;
    } finally {
      thread.unref();
    }
  }
}

async function start(file: URL): Promise<Worker> {
  const started = new Worker(file, { resourceLimits: { maxOldGenerationSizeMb: heapMaxMb } });
  // What ends it between two tasks shows at the next one.
  started.on("error", () => {});
  await once(started, "message", { signal: AbortSignal.timeout(startMs) });
  started.unref();
  return started;
}
