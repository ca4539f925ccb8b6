import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Load } from "../models/engine.ts";

/** Seconds; what a person feels lies between the first and the last. */
const buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** Of an engine that computes. */
export interface EngineState extends Partial<Load> {
  readonly isLoaded: boolean;
}

/** What is counted and timed. Labels come from closed sets (paths, statuses, codes, configured models): no caller can make one. `docs/api.md` lists them. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #engines = new Map<string, () => EngineState>();
  readonly requests: Histogram<"path" | "status">;
  readonly refusals: Counter<"code">;
  readonly firstText: Histogram<"model">;
  readonly queued: Histogram<"model">;
  readonly prefill: Histogram<"model">;
  readonly interToken: Histogram<"model">;
  readonly tokens: Counter<"model" | "kind">;
  readonly restarts: Counter<"model">;
  readonly loading: Histogram<"model">;

  constructor() {
    const registers = [this.#registry];
    const seconds = <Label extends string>(name: string, help: string, labelNames: Label[]): Histogram<Label> =>
      new Histogram({ name: `sallyport_${name}_seconds`, help, labelNames, buckets, registers });
    const count = <Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> =>
      new Counter({ name: `sallyport_${name}_total`, help, labelNames, registers });
    this.requests = seconds("request_duration", "From the headers of a request to the end of its response.", ["path", "status"]);
    this.refusals = count("refusals", "Requests that ended with this code, refused by a guard or failed.", ["code"]);
    this.firstText = seconds("time_to_first_token", "From a checked call to the first text that passed both gates.", ["model"]);
    this.queued = seconds("queue", "From asking the engine to its beginning.", ["model"]);
    this.prefill = seconds("prefill", "From the engine's beginning to its first token.", ["model"]);
    this.interToken = seconds("inter_token", "Between tokens of the engine.", ["model"]);
    this.tokens = count("tokens", "Tokens of prompts and of answers.", ["model", "kind"]);
    this.restarts = count("engine_restarts", "Times an engine's process died and was started again.", ["model"]);
    this.loading = seconds("model_load", "Of a model, after the start of the service.", ["model"]);
    const engines = this.#engines;
    new Gauge({
      name: "sallyport_model_loaded",
      help: "1 when the model is in memory, 0 when the next call loads it.",
      labelNames: ["model"],
      registers,
      collect() {
        for (const [model, read] of engines) this.set({ model }, Number(read().isLoaded));
      },
    });
    new Gauge({
      name: "sallyport_calls",
      help: "Calls that hold a place in the engine, or wait for one.",
      labelNames: ["model", "state"],
      registers,
      collect() {
        for (const [model, read] of engines) {
          const { busy = 0, waiting = 0 } = read();
          this.set({ model, state: "busy" }, busy);
          this.set({ model, state: "waiting" }, waiting);
        }
      },
    });
    collectDefaultMetrics({ register: this.#registry });
  }

  watchEngine(model: string, read: () => EngineState): void {
    this.#engines.set(model, read);
  }

  /** In Prometheus' text format. */
  async text(): Promise<string> {
    return await this.#registry.metrics();
  }
}
