import { EngineFault } from "./engine.ts";

/** A bounded number of places and a bounded queue for them, first come first served. */
export class Slots {
  readonly #waiting: Array<() => void> = [];
  readonly #queueMax: number;
  #free: number;

  constructor(places: number, queueMax: number) {
    this.#free = places;
    this.#queueMax = queueMax;
  }

  /** Waits for a place. Throws `queue_full` at once when `queueMax` calls wait already, and the signal's reason when aborted. */
  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    if (this.#waiting.length >= this.#queueMax) {
      throw new EngineFault("queue_full", `All places are taken and ${this.#queueMax} calls wait already. Try again shortly.`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = (): void => {
      const at = this.#waiting.indexOf(resolve);
      if (at >= 0) this.#waiting.splice(at, 1);
      reject(signal.reason);
    };
    this.#waiting.push(resolve);
    signal.addEventListener("abort", leave, { once: true });
    await promise.finally(() => signal.removeEventListener("abort", leave));
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}
