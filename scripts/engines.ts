import { join } from "node:path";
import { entryOf, readCatalogue } from "../models/catalogue.ts";
import { EchoEngine } from "../models/echo-engine.ts";
import type { Engine } from "../models/engine.ts";
import { LlamaEngine } from "../models/llama-engine.ts";
import type { Config } from "../server/config.ts";

/** Loads every configured model, one after the other. Throws with a sentence when one can't be loaded; what was loaded is ended then. */
export async function openEngines(config: Config): Promise<Engine[]> {
  const engines: Engine[] = [];
  try {
    for (const model of config.models) engines.push(await open(model, config));
    return engines;
  } catch (error) {
    await Promise.all(engines.map((engine) => engine[Symbol.asyncDispose]()));
    throw error;
  }
}

async function open(model: Config["models"][number], { modelsDir, engine }: Config): Promise<Engine> {
  if ("engine" in model) return new EchoEngine(model.id, { tokenDelayMs: model.token_delay_ms });
  const entry = entryOf(readCatalogue(modelsDir), model.id);
  const { temperature, top_p: topP, top_k: topK, min_p: minP, repeat_penalty: repeatPenalty } = entry.defaults ?? {};
  const settings = {
    id: entry.id,
    file: join(modelsDir, entry.file),
    bytes: entry.bytes,
    sha256: entry.sha256,
    contextTokens: Math.min(engine.context_tokens, entry.context_tokens),
    parallel: engine.parallel,
    threads: engine.threads,
    ...(entry.template === undefined ? {} : { template: entry.template }),
    defaults: {
      ...(temperature === undefined ? {} : { temperature }),
      ...(topP === undefined ? {} : { topP }),
      ...(topK === undefined ? {} : { topK }),
      ...(minP === undefined ? {} : { minP }),
      ...(repeatPenalty === undefined ? {} : { repeatPenalty }),
    },
  };
  return await LlamaEngine.start(settings, engine.queue_max);
}
