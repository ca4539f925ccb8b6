import type { Engine, EngineEvent, Generation } from "../../models/engine.ts";

type Answer = string | ((asked: Generation) => string);

/** Answers with the next of its texts, and remembers what it was asked. */
export class Scripted implements Engine {
  readonly model = { id: "scripted", contextTokens: 100_000, stops: [] };
  readonly notReady = undefined;
  readonly asked: Generation[] = [];
  readonly #answers: readonly Answer[];

  constructor(...answers: Answer[]) {
    this.#answers = answers;
  }

  async *generate(generation: Generation): AsyncGenerator<EngineEvent> {
    const next = this.#answers[Math.min(this.asked.length, this.#answers.length - 1)] ?? "";
    const answer = typeof next === "string" ? next : next(generation);
    this.asked.push(generation);
    yield { type: "prompt", tokens: 1, cached: 0 };
    for (const text of answer.split(/(?<= )/u)) yield { type: "text", text, tokens: 1 };
    yield { type: "end", reason: "stop" };
  }

  tokenise(): Promise<readonly number[]> {
    return Promise.resolve([1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
