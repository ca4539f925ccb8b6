import type { Engine, EngineEvent, Generation, Model } from "../models/engine.ts";
import type { Events } from "./events.ts";

/** An engine whose work is timed as it passes. */
export class MeteredEngine implements Engine {
  readonly #engine: Engine;
  readonly #events: Events;

  constructor(engine: Engine, events: Events) {
    this.#engine = engine;
    this.#events = events;
    const model = engine.model.id;
    if (engine.load !== undefined) events.watchEngine(model, () => ({ ...engine.load, isLoaded: engine.model.isLoaded === true }));
    engine.watch?.({
      loaded: (how) => events.modelLoaded({ model, ...how }),
      unloaded: () => events.modelUnloaded({ model }),
      failed: (because) => events.modelNotLoaded({ model, because }),
      died: (because) => events.engineDied({ model, because }),
    });
  }

  get model(): Model {
    return this.#engine.model;
  }

  get notReady(): string | undefined {
    return this.#engine.notReady;
  }

  async *generate(generation: Generation, signal: AbortSignal): AsyncGenerator<EngineEvent> {
    const model = this.model.id;
    let lastMs = performance.now();
    let first = true;
    for await (const event of this.#engine.generate(generation, signal)) {
      const nowMs = performance.now();
      if (event.type === "prompt")
        this.#events.promptTaken({ model, tokens: event.tokens, ...(generation.background === true ? {} : { queuedMs: nowMs - lastMs }) });
      if (event.type === "text" || event.type === "call") this.#events.tokensCame({ model, tokens: event.tokens });
      if (event.type === "text" && event.text !== "") {
        this.#events.textCame({ model, first, ms: nowMs - lastMs });
        first = false;
      }
      lastMs = nowMs;
      yield event;
    }
  }

  tokenise(generation: Generation, signal: AbortSignal): Promise<readonly number[]> {
    return this.#engine.tokenise(generation, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine[Symbol.asyncDispose]();
  }
}
