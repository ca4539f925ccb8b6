/** A piece with fewer tokens computes each of them much more dearly; where that takes longer than a step may, short steps were still asked for. */
const tokensMinOf = (stepMs: number): number => Math.max(8, Math.min(64, Math.floor(stepMs / 5)));
/** What llama.cpp computes at once. */
const tokensMax = 512;

/**
 * How many tokens of a prompt a step takes in, so that it lasts about `stepMs`: running answers, and a cancel, wait as long as that. Measured as it goes, since a token
 * costs more at the end of a long prompt than at its beginning, and on one host a hundred times what it does on another.
 */
export class PieceSize {
  readonly #stepMs: number;
  readonly #tokensMin: number;
  #tokens: number;

  constructor(stepMs: number) {
    this.#stepMs = stepMs;
    this.#tokensMin = tokensMinOf(stepMs);
    this.#tokens = this.#tokensMin;
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
    this.#tokens = Math.max(this.#tokensMin, Math.min(tokensMax, next));
  }
}
