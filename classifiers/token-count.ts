import type { Pool } from "./onnx/pool.ts";
import type { JudgeOptions } from "./verdict.ts";
import { VerdictCache } from "./verdict-cache.ts";

/** Tokens that a text has for the classifiers: as it stands, or with its disguises taken off, whichever is more; without end where they can't be. */
export class TokenCount {
  readonly #pool: Pool;
  readonly #cache = new VerdictCache<number>("tokens");

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** Throws `ClassifiersBusyError` when too many texts wait, and the signal's reason when aborted. */
  async judge(text: string, { signal, scope = "" }: JudgeOptions = {}): Promise<number> {
    return await this.#cache.answer([text, scope], () => this.#pool.admit(() => this.#count(text, signal)));
  }

  async #count(text: string, signal?: AbortSignal): Promise<number> {
    const tokensOf = async (one: string): Promise<number> => (await this.#pool.tokenise(one, signal)).ids.length;
    const { text: read, isWhole } = await this.#pool.unveil(text, signal);
    return isWhole ? Math.max(...(await Promise.all([tokensOf(text), tokensOf(read)]))) : Number.POSITIVE_INFINITY;
  }
}
