/** llama.cpp computes attention in tiles of so many tokens on a CPU, and fewer of them one by one: at the end of a long prompt each costs half as much again. */
const tile = 64;
/** A tile is worth a piece that takes somewhat longer, where short steps were not asked for. */
const tokensMinOf = (stepMs: number): number => Math.max(8, Math.min(tile, Math.floor(stepMs / 4)));
/** What llama.cpp computes at once. */
const tokensMax = 512;

/**
 * How many tokens of a prompt are read at once, so that it takes about `stepMs`: running answers, and a cancel, wait as long as that. Measured as it goes, since a token
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
    const tokens = Math.floor(this.#tokens);
    return tokens < tile ? tokens : tokens - (tokens % tile);
  }

  /** The next piece of a prompt of which `left` tokens are left. */
  next(left: number): number {
    return left <= this.tokens * 1.5 ? left : this.tokens; // a small rest would cost more than it holds
  }

  /** A piece of `tokens` took `ms`. What is left of a prompt says little. */
  took(tokens: number, ms: number): void {
    if (tokens < this.tokens / 2) return;
    const fitting = (tokens * this.#stepMs) / ms;
    // Half-way, and never more than twice as many: one piece may have been held up, or lucky.
    const next = Math.min((this.#tokens + fitting) / 2, this.#tokens * 2);
    this.#tokens = Math.max(this.#tokensMin, Math.min(tokensMax, next));
  }
}
