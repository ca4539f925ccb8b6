import { crc32 } from "node:zlib";
import type { Engine, EngineEvent, Generation, Model } from "./engine.ts";
import { CallReader } from "./tool-calls.ts";

/**
 * Answers with the last user message, or the text it is to go on with, word by word: for drills and tests that need an exact answer. A token is a word with the space after it. Where tools
 * are offered, a call that is written in the message is made: the most obedient of all models.
 */
export class EchoEngine implements Engine {
  readonly model: Model;
  readonly notReady = undefined;
  readonly #tokenDelayMs: number;

  /** `tokenDelayMs` paces the words. Defaults to 0. */
  constructor(id: string, { tokenDelayMs = 0 }: { tokenDelayMs?: number } = {}) {
    this.model = { id, contextTokens: 131_072, stops: [] };
    this.#tokenDelayMs = tokenDelayMs;
  }

  async *generate(generation: Generation, signal: AbortSignal): AsyncGenerator<EngineEvent> {
    yield { type: "prompt", tokens: promptOf(generation).length, cached: 0 };
    const words = tokensOf(generation.text ?? generation.turns.findLast((turn) => turn.role === "user")?.text ?? "");
    const tokensMax = generation.tokensMax ?? words.length;
    const reader = generation.tools && new CallReader(generation.tools);
    for (const text of words.slice(0, tokensMax)) {
      await pause(this.#tokenDelayMs);
      signal.throwIfAborted();
      if (reader === undefined) yield { type: "text", text, tokens: 1 };
      else yield* reader.add(text, 1);
    }
    const reason = words.length > tokensMax ? "length" : "stop";
    if (reader !== undefined) yield* reader.end(reason);
    yield { type: "end", reason };
  }

  /** Every word has a number, without there being a list of them. */
  tokenise(generation: Generation): Promise<readonly number[]> {
    return Promise.resolve(promptOf(generation).map((word) => crc32(word)));
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function promptOf({ turns, text }: Generation): string[] {
  return text === undefined ? turns.flatMap((turn) => tokensOf(turn.text)) : tokensOf(text);
}

function tokensOf(text: string): string[] {
  return text.match(/\s*\S+\s*?(?=\s|$)|\s+$/gu) ?? [];
}

/** Even without a delay it lets the event loop turn, as a real engine does. */
function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => (delayMs > 0 ? setTimeout(resolve, delayMs) : setImmediate(resolve)));
}
