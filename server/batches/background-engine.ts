import type { Engine, EngineEvent, Generation, Model } from "../../models/engine.ts";
import { Fault } from "../fault.ts";

/** An engine of somebody else, as what has time uses it: it waits while others do, and the time for an answer begins when the engine does. */
export class BackgroundEngine implements Engine {
  readonly #engine: Engine;
  readonly #timeoutMs: number;

  constructor(engine: Engine, timeoutMs: number) {
    this.#engine = engine;
    this.#timeoutMs = timeoutMs;
  }

  get model(): Model {
    return this.#engine.model;
  }

  get notReady(): string | undefined {
    return this.#engine.notReady;
  }

  async *generate(generation: Generation, signal: AbortSignal): AsyncGenerator<EngineEvent> {
    const late = new AbortController();
    let deadline: NodeJS.Timeout | undefined;
    try {
      for await (const event of this.#engine.generate({ ...generation, background: true }, AbortSignal.any([signal, late.signal]))) {
        deadline ??= setTimeout(() => late.abort(new Fault("deadline_exceeded")), this.#timeoutMs);
        yield event;
      }
    } finally {
      clearTimeout(deadline);
    }
  }

  tokenise(generation: Generation, signal: AbortSignal): Promise<readonly number[]> {
    return this.#engine.tokenise(generation, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
