import { EngineFault, type Load } from "./engine.ts";

interface Waiting {
  readonly identity: string;
  readonly background: boolean;
  readonly go: () => void;
  readonly refuse: (fault: EngineFault) => void;
}

/** A place that is held until `give` is called. */
export interface Place {
  readonly give: () => void;
  /** It is given back soon. */
  readonly leaving: () => void;
  /** Of one in the background: aborted when a call waits for it. */
  readonly wanted: AbortSignal;
}

/**
 * A bounded number of places and a bounded queue for them, shared out between identities: a free place goes to who has the fewest, of those to
 * who waited longest; and in a full queue whoever has the most waiting makes room for whoever has fewer. What runs in the background takes a
 * place that nobody waits for, and is asked to give it back when somebody does.
 */
export class Slots {
  readonly #waiting: Waiting[] = [];
  readonly #taken = new Map<string, number>();
  readonly #background = new Set<AbortController>();
  /** Places of calls that have ended, and are being put in order. */
  readonly #leaving = new Set<AbortController>();
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
    return { busy: this.#places - this.#free, waiting: this.#queue.length };
  }

  /** No place is taken, so that nothing waits for one. */
  get isIdle(): boolean {
    return this.#free === this.#places;
  }

  /** Calls that wait, without what has time. */
  get #queue(): readonly Waiting[] {
    return this.#waiting.filter((one) => !one.background);
  }

  /** Waits for a place. Throws `queue_full` when no more may wait, and the signal's reason when aborted. */
  async take(identity: string, signal: AbortSignal, { background = false }: { background?: boolean } = {}): Promise<Place> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      this.#took(identity);
    } else await this.#wait(identity, background, signal);
    const wanted = new AbortController();
    if (background) this.#background.add(wanted);
    if (background && this.#queue.length > 0) wanted.abort();
    const sinceMs = performance.now();
    const give = (): void => {
      this.#background.delete(wanted);
      this.#leaving.delete(wanted);
      if (!background) this.#heldMs += (performance.now() - sinceMs - this.#heldMs) / 8;
      this.#give(identity);
    };
    return { give, leaving: () => this.#leaving.add(wanted), wanted: wanted.signal };
  }

  async #wait(identity: string, background: boolean, signal: AbortSignal): Promise<void> {
    // Whoever waits for what is given back soon is in nobody's way.
    const inQueue = this.#queue.length - this.#background.union(this.#leaving).size;
    if (!background && inQueue >= this.#queueMax) this.#makeRoom(identity);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const own: Waiting = { identity, background, go: resolve, refuse: reject };
    const leave = (): void => {
      const at = this.#waiting.indexOf(own);
      if (at >= 0) this.#waiting.splice(at, 1);
      reject(signal.reason);
    };
    this.#waiting.push(own);
    signal.addEventListener("abort", leave, { once: true });
    if (!background) this.#wantPlace();
    await promise.finally(() => signal.removeEventListener("abort", leave));
  }

  /** Of what runs in the background, the last that began gives way, unless enough is given back soon. */
  #wantPlace(): void {
    const soon = [...this.#background.union(this.#leaving)].filter((one) => one.signal.aborted || this.#leaving.has(one));
    if (soon.length < this.#queue.length) [...this.#background].findLast((one) => !one.signal.aborted && !this.#leaving.has(one))?.abort();
  }

  #makeRoom(identity: string): void {
    const queue = this.#queue;
    const waits = (of: string): number => queue.filter((one) => one.identity === of).length;
    const last = queue.toReversed().toSorted((a, b) => waits(b.identity) - waits(a.identity))[0];
    if (last === undefined || waits(last.identity) <= waits(identity) + 1) throw this.#full();
    this.#waiting.splice(this.#waiting.indexOf(last), 1);
    last.refuse(this.#full());
  }

  #full(): EngineFault {
    const position = this.#queue.length + 1;
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
    const next = this.#waiting.toSorted((a, b) => Number(a.background) - Number(b.background) || taken(a) - taken(b))[0];
    if (next === undefined) this.#free += 1;
    else {
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      this.#took(next.identity); // now, and not when it goes on: another place may be given back before that
      next.go();
    }
  }

  #took(identity: string): void {
    this.#taken.set(identity, (this.#taken.get(identity) ?? 0) + 1);
  }
}
