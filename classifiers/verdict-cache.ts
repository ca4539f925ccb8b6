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

  keyOf(...parts: readonly string[]): string {
    return hash("sha256", JSON.stringify([this.#judge, ...parts]));
  }

  get(key: string): Verdict | undefined {
    const verdict = this.#verdicts.get(key);
    if (verdict !== undefined) {
      this.#verdicts.delete(key);
      this.#verdicts.set(key, verdict);
    }
    return verdict;
  }

  set(key: string, verdict: Verdict): void {
    if (this.#verdicts.size >= kept) this.#verdicts.delete(this.#verdicts.keys().next().value ?? key);
    this.#verdicts.set(key, verdict);
  }
}
