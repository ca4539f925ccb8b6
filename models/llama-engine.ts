import { EventEmitter, on, once } from "node:events";
import { type Engine, type EngineEvent, EngineFault, type EngineWatcher, type Generation, type Load, type Model } from "./engine.ts";
import { readGgufHead } from "./gguf-head.ts";
import { callGrammarOf, grammarOf } from "./json-grammar.ts";
import { LlamaProcess } from "./llama-process.ts";
import type { FromChild, GgufFacts, Grammars, LlamaSettings } from "./llama-protocol.ts";
import { gigabytes, type Need, needOf, tooLarge, totalOf } from "./memory.ts";
import { MemoryBudget, type Tenant } from "./memory-budget.ts";
import { type Place, Slots } from "./slots.ts";
import { checkSize } from "./verify-file.ts";

/** A restart waits `restartMs[n]` after the n-th death in a row; a finished answer ends the row. */
const restartMs = [100, 500, 2_000, 10_000, 30_000] as const;

/** More a token has no text that people or programs write. */
const tokenCharsMax = 64;

/** A child that loads says every second that it is there, however long its file is. */
const loadStallMs = 15_000;

/**
 * `unloaded`: there is no child, until a call comes; `because`: it could not be loaded the last time. `starting`: `because` it has died; without, it is
 * loaded since somebody asked for it. `unfit`: it can't be loaded, and calls are refused until a later try succeeds.
 */
type State =
  | { readonly is: "ready" }
  | { readonly is: "unloaded" | "starting"; readonly because?: string | undefined }
  | { readonly is: "unfit" | "closed"; readonly because: string };

/**
 * llama.cpp in a child process: a native crash ends the running calls with `engine_died`, never the service, and the child is started again. With the
 * child ends whatever it kept of calls.
 */
export class LlamaEngine implements Engine, Tenant {
  readonly #settings: LlamaSettings;
  readonly #need: Need;
  readonly #memory: MemoryBudget;
  readonly #slots: Slots;
  /** Running answers wait while the child makes tokens of a prompt: of those that are only to be read, it gets one at a time. */
  readonly #reading: Slots;
  readonly #calls = new Map<number, { readonly events: EventEmitter; readonly give: () => void }>();
  readonly #changes = new EventEmitter().setMaxListeners(0);
  #process: LlamaProcess | undefined;
  #watcher: EngineWatcher | undefined;
  #model: Model;
  #facts: GgufFacts | undefined;
  #state: State = { is: "unloaded" };
  #restart: NodeJS.Timeout | undefined;
  #deaths = 0;
  #callsEver = 0;

  /** Loads nothing yet. Throws a sentence when the file is missing, or would not fit into the budget if everything else were unloaded. */
  constructor(settings: LlamaSettings, queueMax: number, memory = new MemoryBudget()) {
    checkSize(settings.file, settings);
    this.#settings = settings;
    this.#need = needOf(settings, readGgufHead(settings.file));
    this.#memory = memory;
    this.#slots = new Slots(settings.parallel, queueMax);
    this.#reading = new Slots(1, queueMax);
    this.#model = { id: settings.id, contextTokens: settings.contextTokens, sha256: settings.sha256, stops: [] };
    if (this.bytes > memory.bytesMax) throw this.#tooLarge(memory.bytesMax);
  }

  /** A loaded one; throws as the constructor and `loadNow` do. */
  static async start(...settings: ConstructorParameters<typeof LlamaEngine>): Promise<LlamaEngine> {
    const engine = new LlamaEngine(...settings);
    try {
      return await engine.loadNow();
    } catch (error) {
      await engine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Before the first call. Throws `EngineFault` with a sentence when the file is altered, damaged, unknown to llama.cpp or too large for what is free. */
  async loadNow(): Promise<this> {
    if (!this.#memory.take(this)) throw this.#tooLarge(this.#memory.room);
    this.#change({ is: "starting" });
    this.#spawn();
    await once(this.#changes, "change");
    if (this.notReady !== undefined) throw new EngineFault("engine_unavailable", this.notReady);
    return this;
  }

  get model(): Model {
    return { ...this.#model, isLoaded: this.#state.is === "ready" };
  }

  get notReady(): string | undefined {
    return this.#state.is === "ready" ? undefined : this.#state.because;
  }

  get bytes(): number {
    return totalOf(this.#need);
  }

  get isIdle(): boolean {
    return this.#slots.isIdle && this.#reading.isIdle;
  }

  get load(): Load {
    return this.#slots.load;
  }

  watch(watcher: EngineWatcher): void {
    this.#watcher = watcher;
  }

  /** What the file says about itself; undefined until it was loaded. */
  get facts(): GgufFacts | undefined {
    return this.#facts;
  }

  /** Process id of the child, for whoever watches or tests it. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  async *generate(generation: Generation, aborted: AbortSignal): AsyncGenerator<EngineEvent> {
    this.#checkLength(generation);
    const grammars = grammarsOf(generation);
    const { give, leaving, wanted } = await this.#placeIn(this.#slots, generation, aborted);
    const signal = AbortSignal.any([aborted, wanted]);
    const call = ++this.#callsEver;
    let sent = false;
    try {
      const events = await this.#begin(call, give, signal);
      const incoming = on(events, "event", { signal });
      this.#process?.send({ type: "generate", call, generation, grammars });
      sent = true;
      for await (const [event] of incoming as AsyncIterable<[EngineEvent]>) {
        yield event;
        if (event.type === "end") {
          this.#deaths = 0;
          return;
        }
      }
    } catch (error) {
      if (wanted.aborted && !aborted.aborted) throw new EngineFault("gave_way", "The place was given to a call that waited for it.");
      // What waits is woken with an AbortError of its own; the caller's reason says more.
      throw aborted.aborted ? aborted.reason : error;
    } finally {
      // The slot of a call that reached the child is given back when the child says that its sequence is free.
      if (!sent) {
        this.#calls.delete(call);
        give();
      } else if (this.#calls.has(call)) {
        leaving();
        this.#process?.send({ type: "cancel", call });
      }
    }
  }

  async tokenise(generation: Generation, signal: AbortSignal): Promise<readonly number[]> {
    this.#checkLength(generation);
    const { give } = await this.#placeIn(this.#reading, generation, signal);
    const call = ++this.#callsEver;
    let sent = false;
    try {
      const events = await this.#begin(call, give, signal);
      const told = once(events, "tokens", { signal });
      this.#process?.send({ type: "tokenise", call, generation });
      sent = true;
      const [tokens] = (await told) as [readonly number[]];
      return tokens;
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      // The place of one that reached the child is given back when its tokens are made, whether or not somebody still waits for them.
      if (!sent) give();
    }
  }

  /** Running answers wait while the child makes tokens of a prompt: what can't fit whatever it says is not even sent. */
  #checkLength({ turns, text = "", tools }: Generation): void {
    const { contextTokens } = this.#model;
    const chars = text.length + JSON.stringify([turns, tools?.offered]).length;
    if (chars > contextTokens * tokenCharsMax)
      throw new EngineFault(
        "context_length_exceeded",
        `This model's context is ${contextTokens} tokens, and messages and tools have ${chars} characters. Shorten them.`,
      );
  }

  async #placeIn(slots: Slots, generation: Generation, signal: AbortSignal): Promise<Place> {
    const place = await slots.take(generation.identity, signal, generation);
    const give = (): void => {
      place.give();
      this.#memory.ended(this);
    };
    return { ...place, give };
  }

  /** Where what the child says about `call` is heard, as soon as there is a child. */
  async #begin(call: number, give: () => void, signal: AbortSignal): Promise<EventEmitter> {
    await this.#untilReady(signal);
    const events = new EventEmitter();
    if (this.#calls.size === 0) this.#process?.countSilence();
    this.#calls.set(call, { events, give });
    return events;
  }

  async unload(): Promise<void> {
    this.#change({ is: "unloaded", because: this.#state.is === "unfit" ? this.#state.because : undefined });
    clearTimeout(this.#restart);
    const ending = this.#process;
    this.#process = undefined;
    this.#watcher?.unloaded();
    await ending?.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const loads = this.#state.is !== "ready"; // then it hears nothing
    this.#change({ is: "closed", because: "The service is shutting down." });
    clearTimeout(this.#restart);
    await this.#process?.end(loads ? 0 : undefined);
    this.#endCalls();
    this.#memory.give(this);
  }

  /** Loads it, if it is unloaded, as soon as there is memory. */
  async #untilReady(signal: AbortSignal): Promise<void> {
    for (let { is } = this.#state; is !== "ready"; { is } = this.#state) {
      if (is === "unfit" || is === "closed") throw new EngineFault("engine_unavailable", this.notReady ?? "");
      if (is === "unloaded") {
        this.#change({ is: "starting" });
        void this.#memory.wait(this).then((loads) => (loads ? this.#spawn() : this.#change({ is: "unloaded" })));
      }
      await once(this.#changes, "change", { signal });
    }
  }

  #spawn(): void {
    if (this.#state.is === "closed") return;
    const { stallMs } = this.#settings;
    try {
      this.#process = new LlamaProcess(this.#settings, {
        received: (message) => this.#receive(message),
        died: (how) => this.#died(how),
        silentMsMax: () => (this.#state.is !== "ready" ? Math.max(stallMs, loadStallMs) : this.#calls.size > 0 ? stallMs : undefined),
      });
    } catch (error) {
      // Where the host has no memory for another process, say. Whoever asked for this one does not listen yet.
      process.nextTick(() => this.#died(error instanceof Error ? error.message : String(error)));
    }
  }

  #receive(message: FromChild): void {
    if (message.type === "ready") {
      this.#model = { ...this.#model, contextTokens: message.contextTokens, stops: message.stops, device: message.device };
      this.#facts = message.facts;
      this.#change({ is: "ready" });
      this.#watcher?.loaded({ ms: performance.now() - (this.#process?.startedMs ?? 0), device: message.device });
    } else if (message.type === "unfit") {
      this.#change({ is: "unfit", because: message.message });
    } else if (message.type === "free") {
      const { give } = this.#calls.get(message.call) ?? {};
      this.#calls.delete(message.call);
      give?.();
    } else if (message.type === "event") {
      this.#calls.get(message.call)?.events.emit("event", message.event);
    } else if (message.type === "tokens") {
      this.#calls.get(message.call)?.events.emit("tokens", message.tokens);
    } else if (message.type === "fault") {
      this.#fail(message.call, new EngineFault(message.code, message.message));
    }
  }

  #died(how: string): void {
    this.#process = undefined;
    this.#plan(how);
    // After that: a place or memory that is given back can go to another at once, which may unload this one.
    this.#endCalls();
  }

  #endCalls(): void {
    for (const [call, { give }] of [...this.#calls]) {
      this.#fail(
        call,
        new EngineFault("engine_died", "The engine stopped while it answered. It is being started again: send the call once more."),
      );
      this.#calls.delete(call);
      give();
    }
  }

  /** When to start it again. */
  #plan(how: string): void {
    if (this.#state.is === "closed") return;
    if (this.#state.is === "starting" && this.#state.because === undefined) this.#change({ is: "unfit", because: this.#deadly(how) });
    if (this.#state.is === "unfit") {
      this.#watcher?.failed(this.#state.because);
      this.#memory.give(this);
    } else {
      this.#watcher?.died(how);
      this.#change({ is: "starting", because: `The engine stopped (${how}) and is being started again.` });
    }
    const waitMs = restartMs[Math.min(this.#deaths, restartMs.length - 1)];
    this.#deaths += 1;
    this.#restart = setTimeout(() => this.#again(), waitMs);
  }

  #again(): void {
    // What can't be loaded has no memory. It gets none of the others', unless somebody asks for it.
    if (this.#state.is === "unfit" && !this.#memory.take(this)) this.#change({ is: "unloaded", because: this.#state.because });
    else this.#spawn();
  }

  /** llama.cpp died of it without a word. */
  #deadly(how: string): string {
    const advice =
      this.#facts === undefined ? "It is damaged or not a model: fetch it again." : "It was loaded before: is there memory enough?";
    return `${this.#settings.file} can't be loaded: the engine ended on it (${how}). ${advice}`;
  }

  #tooLarge(room: number): EngineFault {
    const { bytesMax } = this.#memory;
    return tooLarge(
      this.#settings,
      this.#need,
      `${gigabytes(room)} of the ${gigabytes(bytesMax)} GB that models may take together are free`,
    );
  }

  #fail(call: number, fault: EngineFault): void {
    const { events } = this.#calls.get(call) ?? {};
    if (events !== undefined && events.listenerCount("error") > 0) events.emit("error", fault);
  }

  #change(state: State): void {
    if (this.#state.is === "closed") return;
    this.#state = state;
    this.#changes.emit("change");
  }
}

/** Throws `EngineFault` for a schema that can't be honoured. */
function grammarsOf({ schema, tools }: Generation): Grammars {
  return {
    ...(schema === undefined ? {} : { answer: grammarOf(schema, { strict: true }) }),
    ...(tools === undefined ? {} : { call: callGrammarOf(tools.offered) }),
  };
}
