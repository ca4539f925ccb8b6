/**
 * Keeps calls that compute side by side in one batch. node-llama-cpp decodes what is asked for at the moment; an answer whose token was sampled
 * a little later than the others' would find the batch gone, and from then on each would be decoded alone, at the price of all of them together.
 */
export class Lockstep {
  readonly #waiting: Array<() => void> = [];
  #members = 0;
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
    this.#releaseWhenAllWait();
  }

  /** Until every member waits. */
  async wait(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    this.#releaseWhenAllWait();
    await promise;
  }

  #releaseWhenAllWait(): void {
    if (this.#waiting.length === 0 || this.#waiting.length < this.#members) return;
    // Not at once: the batch that has just ended would go on with whoever asks first.
    setImmediate(() => {
      if (this.#waiting.length < this.#members) return; // somebody has joined meanwhile
      this.#stepped();
      for (const go of this.#waiting.splice(0)) go();
    });
  }
}
