import { type ChildProcess, fork } from "node:child_process";
import { EventEmitter, on, once } from "node:events";
import { fileURLToPath } from "node:url";
import { type Engine, type EngineEvent, EngineFault, type Generation, type Load, type Model } from "./engine.ts";
import { callGrammarOf, grammarOf } from "./json-grammar.ts";
import type { FromChild, GgufFacts, Grammars, LlamaSettings, ToChild } from "./llama-protocol.ts";
import { Slots } from "./slots.ts";

const childFile = fileURLToPath(new URL("./llama-child.ts", import.meta.url));

/** A restart waits `restartMs[n]` after the n-th death in a row; a finished answer ends the row. */
const restartMs = [100, 500, 2_000, 10_000, 30_000] as const;

/** A child that loads says every second that it is there, however long its file is. */
const loadStallMs = 15_000;

/** `unfit`: the file can't be loaded, and calls are refused until a later try succeeds. */
type State = { readonly is: "ready" } | { readonly is: "starting" | "unfit" | "closed"; readonly because: string };

/** llama.cpp in a child process: a native crash ends the running calls with `engine_died`, never the service, and the child is started again. */
export class LlamaEngine implements Engine {
  readonly #settings: LlamaSettings;
  readonly #slots: Slots;
  readonly #calls = new Map<number, { readonly events: EventEmitter; readonly give: () => void }>();
  readonly #stopped: (how: string) => void;
  readonly #changes = new EventEmitter().setMaxListeners(0);
  #child: ChildProcess | undefined;
  #model: Model;
  #facts: GgufFacts | undefined;
  #state: State;
  #restart: NodeJS.Timeout | undefined;
  #watchdog: NodeJS.Timeout | undefined;
  #deaths = 0;
  #callsEver = 0;
  #heardMs = 0;

  private constructor(settings: LlamaSettings, queueMax: number, stopped: (how: string) => void) {
    this.#settings = settings;
    this.#stopped = stopped;
    this.#slots = new Slots(settings.parallel, queueMax);
    this.#model = { id: settings.id, contextTokens: settings.contextTokens, sha256: settings.sha256, stops: [] };
    this.#state = { is: "starting", because: "The model is loading." };
  }

  /**
   * Loads the model; throws `EngineFault` with a sentence when the file is missing, altered, damaged, unknown to llama.cpp or too large for this host.
   * `stopped` is called whenever the child has ended by itself or had to be ended.
   */
  static async start(settings: LlamaSettings, queueMax: number, stopped: (how: string) => void = () => {}): Promise<LlamaEngine> {
    const engine = new LlamaEngine(settings, queueMax, stopped);
    engine.#spawn();
    await once(engine.#changes, "change");
    const because = engine.notReady;
    if (because === undefined) return engine;
    await engine[Symbol.asyncDispose]();
    throw new EngineFault("engine_unavailable", because);
  }

  get model(): Model {
    return this.#model;
  }

  get notReady(): string | undefined {
    return this.#state.is === "ready" ? undefined : this.#state.because;
  }

  get load(): Load {
    return this.#slots.load;
  }

  onDeath(told: (because: string) => void): void {
    this.#changes.on("death", told);
  }

  /** What the file says about itself; undefined until it was loaded. */
  get facts(): GgufFacts | undefined {
    return this.#facts;
  }

  /** Process id of the child, for whoever watches or tests it. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async *generate(generation: Generation, aborted: AbortSignal): AsyncGenerator<EngineEvent> {
    const grammars = grammarsOf(generation);
    const { give, wanted } = await this.#slots.take(generation.identity, aborted, generation);
    const signal = AbortSignal.any([aborted, wanted]);
    const call = ++this.#callsEver;
    let sent = false;
    try {
      const events = await this.#begin(call, give, signal);
      const incoming = on(events, "event", { signal });
      this.#send({ type: "generate", call, generation, grammars });
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
      if (!sent) give();
      else if (this.#calls.has(call)) this.#send({ type: "cancel", call });
    }
  }

  async tokenise(generation: Generation, signal: AbortSignal): Promise<readonly number[]> {
    const call = ++this.#callsEver;
    try {
      const events = await this.#begin(call, () => {}, signal);
      const told = once(events, "tokens", { signal });
      this.#send({ type: "tokenise", call, generation });
      const [tokens] = (await told) as [readonly number[]];
      return tokens;
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      this.#calls.delete(call);
    }
  }

  /** Where what the child says about `call` is heard, as soon as there is a child. */
  async #begin(call: number, give: () => void, signal: AbortSignal): Promise<EventEmitter> {
    while (this.#state.is === "starting") await once(this.#changes, "change", { signal });
    if (this.#state.is !== "ready") throw new EngineFault("engine_unavailable", this.#state.because);
    const events = new EventEmitter();
    if (this.#calls.size === 0) this.#heardMs = performance.now();
    this.#calls.set(call, { events, give });
    return events;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#change({ is: "closed", because: "The service is shutting down." });
    clearInterval(this.#watchdog);
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    if (child.connected) child.disconnect();
    const kill = setTimeout(() => child.kill("SIGKILL"), 2_000);
    await exited;
    clearTimeout(kill);
  }

  #spawn(): void {
    const child = fork(childFile, [JSON.stringify(this.#settings)], {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      // One pool thread decodes for all calls: with Node's four, llama.cpp's own threads wait for each other.
      env: { ...gpuEnv(), PATH: process.env.PATH, HOME: process.env.HOME, UV_THREADPOOL_SIZE: "1" },
    });
    this.#child = child;
    child.on("message", (message: FromChild) => this.#receive(message));
    clearInterval(this.#watchdog);
    this.#heardMs = performance.now();
    let stalled: string | undefined;
    this.#watchdog = setInterval(() => {
      const loads = this.#state.is === "starting";
      const limitMs = loads ? Math.max(this.#settings.stallMs, loadStallMs) : this.#settings.stallMs;
      if ((this.#calls.size === 0 && !loads) || performance.now() - this.#heardMs < limitMs) return;
      stalled = `no progress for ${limitMs / 1_000} s`;
      child.kill("SIGKILL");
    }, this.#settings.stallMs / 4).unref();
    child.once("exit", (code, signal) => this.#died(child, stalled ?? signal ?? `status ${code}`));
    // It could not be started, or a message did not reach it any more; where it ran, `exit` follows.
    child.on("error", (error) => {
      if (child.pid === undefined) this.#died(child, error.message);
    });
  }

  #receive(message: FromChild): void {
    this.#heardMs = performance.now();
    if (message.type === "ready") {
      this.#model = { ...this.#model, contextTokens: message.contextTokens, stops: message.stops, device: message.device };
      this.#facts = message.facts;
      this.#change({ is: "ready" });
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

  #died(child: ChildProcess, how: string): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    if (this.#state.is === "ready" || this.#state.is === "starting") this.#stopped(how);
    for (const [call, { give }] of [...this.#calls]) {
      this.#fail(
        call,
        new EngineFault("engine_died", "The engine stopped while it answered. It is being started again: send the call once more."),
      );
      this.#calls.delete(call);
      give();
    }
    if (this.#state.is === "closed") return;
    this.#changes.emit("death", how);
    if (this.#facts === undefined && this.#state.is === "starting") this.#change({ is: "unfit", because: this.#deadly(how) });
    else if (this.#state.is !== "unfit")
      this.#change({ is: "starting", because: `The engine stopped (${how}) and is being started again.` });
    const waitMs = restartMs[Math.min(this.#deaths, restartMs.length - 1)];
    this.#deaths += 1;
    this.#restart = setTimeout(() => this.#spawn(), waitMs);
  }

  /** It was never loaded, and llama.cpp died of it without a word. */
  #deadly(how: string): string {
    return `${this.#settings.file} can't be loaded: the engine ended on it (${how}). It is damaged or not a model: fetch it again.`;
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

  #send(message: ToChild): void {
    // What it does not get any more, its end tells.
    if (this.#child?.connected) this.#child.send(message, () => {});
  }
}

/** Which of several GPUs, as the drivers' own variables say it. */
function gpuEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => /^(?:CUDA|GGML|VK)_/u.test(name)));
}

/** Throws `EngineFault` for a schema that can't be honoured. */
function grammarsOf({ schema, tools }: Generation): Grammars {
  return {
    ...(schema === undefined ? {} : { answer: grammarOf(schema, { strict: true }) }),
    ...(tools === undefined ? {} : { call: callGrammarOf(tools.offered) }),
  };
}
