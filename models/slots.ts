import { EngineFault, type Load } from "./engine.ts";

interface Waiting {
  readonly identity: string;
  readonly go: () => void;
  readonly refuse: (fault: EngineFault) => void;
}

/**
 * A bounded number of places and a bounded queue for them, shared out between identities: a free place goes to who has the fewest, of those to
 * who waited longest; and in a full queue whoever has the most waiting makes room for whoever has fewer.
 */
export class Slots {
  readonly #waiting: Waiting[] = [];
  readonly #taken = new Map<string, number>();
  readonly #places: number;
  readonly #queueMax: number;
  #free: number;
  /** How long a place is held, in milliseconds; the last calls count most. */
  #heldMs = 1_000;

  constructor(places: number, queueMax: number) {
    this.#places = places;
    this.#free = places;
    this.#queueMax = queueMax;
  }

  get load(): Load {
    return { busy: this.#places - this.#free, waiting: this.#waiting.length };
  }

  /** Waits for a place; the function that is returned gives it back. Throws `queue_full` when no more may wait, and the signal's reason when aborted. */
  async take(identity: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(identity, signal);
    this.#taken.set(identity, (this.#taken.get(identity) ?? 0) + 1);
    const sinceMs = performance.now();
    return () => {
      this.#heldMs += (performance.now() - sinceMs - this.#heldMs) / 8;
      this.#give(identity);
    };
  }

  async #wait(identity: string, signal: AbortSignal): Promise<void> {
    if (this.#waiting.length >= this.#queueMax) this.#makeRoom(identity);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const own: Waiting = { identity, go: resolve, refuse: reject };
    const leave = (): void => {
      const at = this.#waiting.indexOf(own);
      if (at >= 0) this.#waiting.splice(at, 1);
      reject(signal.reason);
    };
    this.#waiting.push(own);
    signal.addEventListener("abort", leave, { once: true });
    await promise.finally(() => signal.removeEventListener("abort", leave));
  }

  #makeRoom(identity: string): void {
    const waits = (of: string): number => this.#waiting.filter((one) => one.identity === of).length;
    const last = this.#waiting.toReversed().toSorted((a, b) => waits(b.identity) - waits(a.identity))[0];
    if (last === undefined || waits(last.identity) <= waits(identity) + 1) throw this.#full();
    this.#waiting.splice(this.#waiting.indexOf(last), 1);
    last.refuse(this.#full());
  }

  #full(): EngineFault {
    const position = this.#waiting.length + 1;
    return new EngineFault("queue_full", `All places are taken and ${this.#queueMax} calls wait already. Try again shortly.`, {
      position,
      retryAfterMs: (position * this.#heldMs) / this.#places,
    });
  }

  #give(identity: string): void {
    const left = (this.#taken.get(identity) ?? 1) - 1;
    if (left > 0) this.#taken.set(identity, left);
    else this.#taken.delete(identity);
    const taken = (one: Waiting): number => this.#taken.get(one.identity) ?? 0;
    const next = this.#waiting.toSorted((a, b) => taken(a) - taken(b))[0];
    if (next === undefined) this.#free += 1;
    else {
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      next.go();
    }
  }
}
