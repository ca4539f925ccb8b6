import { hash } from "node:crypto";

const kept = 2_000;

/** Finished verdicts, the last used ones: system prompts and history come again with every turn. Keys are hashes, texts are not kept. */
export class VerdictCache<Verdict> {
  readonly #judge: string;
  readonly #verdicts = new Map<string, Verdict>();

  /** @param judge what a verdict depends on besides the text: the model and its thresholds. */
  constructor(judge: string) {
    this.#judge = judge;
  }

  /** The verdict kept for these parts, or the one that `judge` comes to, which is kept then. */
  async answer(parts: readonly string[], judge: () => Promise<Verdict>): Promise<Verdict> {
    const key = hash("sha256", JSON.stringify([this.#judge, ...parts]));
    const verdict = this.#verdicts.get(key) ?? (await judge());
    this.#verdicts.delete(key);
    if (this.#verdicts.size >= kept) this.#verdicts.delete(this.#verdicts.keys().next().value ?? key);
    this.#verdicts.set(key, verdict);
    return verdict;
  }
}
