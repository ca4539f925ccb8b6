import type { Classifier, JudgeOptions, Origin, TextVerdict } from "./verdict.ts";

/** One classifier for what users type, another for text from outside: what is an order in a mail is a question in a prompt. */
export class ByOrigin implements Classifier<TextVerdict> {
  readonly #typed: Classifier<TextVerdict>;
  readonly #planted: Classifier<TextVerdict>;

  constructor(typed: Classifier<TextVerdict>, planted: Classifier<TextVerdict>) {
    this.#typed = typed;
    this.#planted = planted;
  }

  get model(): Classifier<TextVerdict>["model"] {
    return this.#typed.model;
  }

  async judge(text: string, options: JudgeOptions = {}): Promise<TextVerdict> {
    return await this.#for(options.origin).judge(text, options);
  }

  async selfTest(): Promise<void> {
    await this.#typed.selfTest();
    await this.#planted.selfTest();
  }

  #for(origin: Origin = "user"): Classifier<TextVerdict> {
    return origin === "user" ? this.#typed : this.#planted;
  }
}
