import { join } from "node:path";
import { type Classifiers, openClassifiers } from "../classifiers/classifier.ts";
import { entryOf, pinOf, readCatalogue } from "../models/catalogue.ts";
import { EchoEngine } from "../models/echo-engine.ts";
import type { Engine } from "../models/engine.ts";
import { hasBuild, hostGpus } from "../models/gpu.ts";
import { LlamaEngine } from "../models/llama-engine.ts";
import type { LlamaSettings } from "../models/llama-protocol.ts";
import { MemoryBudget } from "../models/memory-budget.ts";
import type { Config } from "../server/config.ts";

/** The classifiers that the configuration asks for. */
export function openConfiguredClassifiers({ classifiers: { device, workers, queue_max } }: Config): Promise<Classifiers> {
  return openClassifiers({ device, workers, queueMax: queue_max });
}

/**
 * Every configured model; those that are to be there from the start are loaded, one after the other. Throws with a sentence when one can't be, or when
 * one of the others has no file or would not fit; what was loaded is ended then.
 */
export async function openEngines(config: Config, signal: AbortSignal): Promise<Engine[]> {
  const memory = budgetOf(config.engine);
  const engines = config.models.map((model) => open(model, config, memory));
  try {
    for (const [index, engine] of engines.entries()) {
      const { load = index === 0 ? "start" : "use" } = config.models[index] ?? {};
      if (load === "start" && engine instanceof LlamaEngine) await unlessStopped(engine.loadNow(), signal);
    }
    return engines;
  } catch (error) {
    await Promise.all(engines.map((engine) => engine[Symbol.asyncDispose]()));
    throw error;
  }
}

/** With a GPU, llama.cpp looks for itself what is free there. */
function budgetOf({ memory_bytes_max: bytesMax, gpu }: Config["engine"]): MemoryBudget {
  const free =
    gpu !== "off" && hostGpus().some(({ build }) => hasBuild(build)) ? () => Number.POSITIVE_INFINITY : () => process.availableMemory();
  return new MemoryBudget(bytesMax === "auto" ? free() : bytesMax, free);
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

function open(
  { id, engine: kind, token_delay_ms: tokenDelayMs = 0 }: Config["models"][number],
  config: Config,
  memory: MemoryBudget,
): Engine {
  if (kind === "echo") return new EchoEngine(id, { tokenDelayMs });
  return new LlamaEngine(llamaSettings(id, config), config.engine.queue_max, memory);
}

/** Of a model of the catalogue. */
export function llamaSettings(id: string, { modelsDir, engine }: Config): LlamaSettings {
  const entry = entryOf(readCatalogue(modelsDir), id);
  const { temperature, top_p: topP, top_k: topK, min_p: minP, repeat_penalty: repeatPenalty } = entry.defaults ?? {};
  return {
    ...pinOf(entry),
    file: join(modelsDir, entry.file),
    contextTokens: Math.min(engine.context_tokens, entry.context_tokens),
    parallel: engine.parallel,
    threads: engine.threads,
    gpu: engine.gpu,
    ...(engine.gpu_layers === "auto" ? {} : { gpuLayers: engine.gpu_layers }),
    prefillStepMs: engine.prefill_step_ms,
    prefillShare: engine.prefill_share,
    cacheBytesMax: engine.cache_bytes_max,
    stallMs: engine.stall_timeout_ms,
    ...(entry.template === undefined ? {} : { template: entry.template }),
    defaults: { temperature, topP, topK, minP, repeatPenalty },
  };
}
