/**
 * Keeps calls that compute side by side in one batch. node-llama-cpp decodes what is asked for at the moment; an answer whose token was sampled
 * a little later than the others' would find the batch gone, and from then on each would be decoded alone, at the price of all of them together.
 * A piece of a prompt has its time between two steps: in one batch, llama.cpp computes it apart all the same, and the answers' tokens beside it cost more than in a step of their own.
 */
export class Lockstep {
  readonly #waiting: Array<() => void> = [];
  #members = 0;
  /** Lets what waits to compute alone begin. */
  #beginAlone: (() => void) | undefined;
  #isAlone = false;
  readonly #begun: () => void;
  readonly #stepped: () => void;

  /** `begun` is called before the first step after a rest, `stepped` at the end of each. */
  constructor({ begun, stepped }: { readonly begun: () => void; readonly stepped: () => void }) {
    this.#begun = begun;
    this.#stepped = stepped;
  }

  /** Somebody computes. */
  get isBusy(): boolean {
    return this.#members > 0;
  }

  /** From now on every step waits for this member's `wait`. */
  join(): void {
    if (this.#members === 0) this.#begun();
    this.#members += 1;
  }

  leave(): void {
    this.#members -= 1;
    this.#goOnWhenAllWait();
  }

  /** Until every member waits. */
  async wait(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    this.#goOnWhenAllWait();
    await promise;
  }

  /** Does `work` between two steps. One at a time: it has ended before this is called again. */
  async alone(work: () => Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#beginAlone = resolve;
    this.#goOnWhenAllWait();
    await promise;
    try {
      await work();
    } finally {
      this.#isAlone = false;
      this.#goOnWhenAllWait();
    }
  }

  #goOnWhenAllWait(): void {
    if (!this.#allWait) return;
    // Not at once: the batch that has just ended would go on with whoever asks first.
    setImmediate(() => {
      if (!this.#allWait) return; // somebody has joined meanwhile
      if (this.#beginAlone !== undefined) {
        this.#isAlone = true;
        this.#beginAlone();
        this.#beginAlone = undefined;
      } else if (this.#waiting.length > 0) {
        this.#stepped();
        for (const go of this.#waiting.splice(0)) go();
      }
    });
  }

  get #allWait(): boolean {
    return !this.#isAlone && this.#waiting.length >= this.#members;
  }
}
