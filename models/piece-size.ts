/** A piece with fewer tokens computes each of them much more dearly. */
const tokensMin = 64;
/** What llama.cpp computes at once. */
const tokensMax = 512;

/**
 * How many tokens of a prompt a step takes in, so that it lasts about `stepMs`: running answers, and a cancel, wait as long as that. Measured as it goes, since a token
 * costs more at the end of a long prompt than at its beginning, and on one host a hundred times what it does on another.
 */
export class PieceSize {
  readonly #stepMs: number;
  #tokens = tokensMin;

  constructor(stepMs: number) {
    this.#stepMs = stepMs;
  }

  get tokens(): number {
    return Math.floor(this.#tokens);
  }

  /** A step with `tokens` of a prompt lasted `ms`. What is left of a prompt says little. */
  took(tokens: number, ms: number): void {
    if (tokens < this.tokens / 2) return;
    const fitting = (tokens * this.#stepMs) / ms;
    // Half-way, and never more than twice as many: one step may have been held up, or lucky.
    const next = Math.min((this.#tokens + fitting) / 2, this.#tokens * 2);
    this.#tokens = Math.max(tokensMin, Math.min(tokensMax, next));
  }
}
