import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { Fault } from "./fault.ts";

const deadlineMs = 2_000;
const startMs = 30_000;
const heapMaxMb = 256;
/** Tasks that wait; each may take the whole deadline. */
const waitingMax = 32;

/**
 * A thread for work that whoever sends a short text can make long. One task at a time, so that a deadline is the task's own: one that takes too long, or too
 * much memory, ends the thread, and the next one begins in a new one. Started with the first task; keeps no process alive.
 */
export class DeadlineThread<Task, Answer> {
  readonly #file: URL;
  #worker: Promise<Worker> | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** @param file a module that posts one message when it is ready, and one answer a task. */
  constructor(file: URL) {
    this.#file = file;
  }

  /** Undefined when the task takes too long. Throws the fault `guards_busy` when too many wait. */
  async answer(task: Task): Promise<Answer | undefined> {
    if (this.#waiting >= waitingMax) throw new Fault("guards_busy");
    this.#waiting += 1;
    const turn = this.#last.then(() => this.#answer(task));
    this.#last = turn.catch(() => {});
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
    }
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
