import type { Sampling } from "./engine.ts";

/** Of a token that the caller forbids. No logit comes near it, and it is finite: where a grammar leaves nothing else, the token comes all the same. */
const forbidden = -1e6;

/**
 * What is added to the logits of the tokens of one answer: the caller's own biases, less the penalties of tokens that the answer holds already, the
 * presence penalty once and the frequency penalty as often as the token stands there (the formula of OpenAI's API).
 */
export class TokenBiases {
  readonly #sampling: Pick<Sampling, "logitBias" | "presencePenalty" | "frequencyPenalty">;
  readonly #set: (token: number, bias: number) => void;
  readonly #counts = new Map<number, number>();

  /** `set` is told what is to be added to the logit of a token from now on. */
  constructor(sampling: Pick<Sampling, "logitBias" | "presencePenalty" | "frequencyPenalty">, set: (token: number, bias: number) => void) {
    this.#sampling = sampling;
    this.#set = set;
    for (const token of Object.keys(sampling.logitBias ?? {}).map(Number)) set(token, this.#asked(token));
  }

  /** The answer holds this token (once more). */
  add(token: number): void {
    const { presencePenalty = 0, frequencyPenalty = 0 } = this.#sampling;
    if (presencePenalty === 0 && frequencyPenalty === 0) return;
    const count = (this.#counts.get(token) ?? 0) + 1;
    this.#counts.set(token, count);
    this.#set(token, this.#asked(token) - presencePenalty - count * frequencyPenalty);
  }

  #asked(token: number): number {
    const bias = this.#sampling.logitBias?.[token] ?? 0;
    return bias <= -100 ? forbidden : bias;
  }
}
