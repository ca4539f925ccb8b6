import { join } from "node:path";
import { type Classifiers, openClassifiers } from "../classifiers/classifier.ts";
import { entryOf, pinOf, readCatalogue } from "../models/catalogue.ts";
import { EchoEngine } from "../models/echo-engine.ts";
import type { Engine } from "../models/engine.ts";
import { LlamaEngine } from "../models/llama-engine.ts";
import type { Config } from "../server/config.ts";
import { Events } from "../server/events.ts";

/** The classifiers that the configuration asks for. */
export function openConfiguredClassifiers({ classifiers: { device, workers, queue_max } }: Config): Promise<Classifiers> {
  return openClassifiers({ device, workers, queueMax: queue_max });
}

/** Loads every configured model, one after the other. Throws with a sentence when one can't be loaded; what was loaded is ended then. */
export async function openEngines(config: Config, signal: AbortSignal, events = new Events()): Promise<Engine[]> {
  const engines: Engine[] = [];
  try {
    for (const model of config.models) engines.push(await unlessStopped(open(model, config, events), signal));
    return engines;
  } catch (error) {
    await Promise.all(engines.map((engine) => engine[Symbol.asyncDispose]()));
    throw error;
  }
}

/** What is being opened, once it is open. Throws the signal's reason as soon as it is aborted, whatever becomes of it. */
export async function unlessStopped<T extends AsyncDisposable>(loading: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(signal.reason);
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  try {
    return await Promise.race([stopped, loading]);
  } catch (error) {
    loading.then(
      (opened) => opened[Symbol.asyncDispose](),
      () => {},
    );
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

async function open(
  { id, engine: kind, token_delay_ms: tokenDelayMs = 0 }: Config["models"][number],
  config: Config,
  events: Events,
): Promise<Engine> {
  if (kind === "echo") return new EchoEngine(id, { tokenDelayMs });
  const { modelsDir, engine } = config;
  const entry = entryOf(readCatalogue(modelsDir), id);
  const { temperature, top_p: topP, top_k: topK, min_p: minP, repeat_penalty: repeatPenalty } = entry.defaults ?? {};
  const settings = {
    ...pinOf(entry),
    file: join(modelsDir, entry.file),
    contextTokens: Math.min(engine.context_tokens, entry.context_tokens),
    parallel: engine.parallel,
    threads: engine.threads,
    gpu: engine.gpu,
    ...(engine.gpu_layers === "auto" ? {} : { gpuLayers: engine.gpu_layers }),
    prefillStepMs: engine.prefill_step_ms,
    cacheBytesMax: engine.cache_bytes_max,
    stallMs: engine.stall_timeout_ms,
    ...(entry.template === undefined ? {} : { template: entry.template }),
    defaults: { temperature, topP, topK, minP, repeatPenalty },
  };
  return await LlamaEngine.start(settings, engine.queue_max, (how) => events.engineStopped({ model: id, how }));
}
