import {
  type ChatWrapper,
  chatWrappers,
  getLlama,
  type Llama,
  type LlamaContext,
  LlamaLogLevel,
  type LlamaModel,
  NoBinaryFoundError,
  resolvableChatWrapperTypeNames,
  resolveChatWrapper,
} from "node-llama-cpp";
import { EngineFault } from "./engine.ts";
import type { GgufHead } from "./gguf-head.ts";
import { type GpuBuild, type GpuChoice, hasBuild, hostGpus } from "./gpu.ts";
import type { GgufFacts, LlamaSettings } from "./llama-protocol.ts";
import { checkMemory } from "./memory.ts";

export interface Opened {
  readonly llama: Llama;
  /** What llama.cpp said of its errors. */
  readonly errors: string[];
  /** GPUs that it computes on, by name. */
  readonly gpus: readonly string[];
}

/** On the GPU that is named, or one that is here; throws `EngineFault` when one is named that llama.cpp can't use. */
export async function openLlama(gpu: GpuChoice, threadsMax: number): Promise<Opened> {
  const errors: string[] = [];
  const open = (build: GpuBuild | false): Promise<Llama> =>
    getLlama({
      gpu: build,
      build: "never",
      skipDownload: true,
      // More threads than cores wait for each other in turns: by default it would take four.
      maxThreads: threadsMax,
      logLevel: LlamaLogLevel.error,
      logger: (_level, message) => {
        if (errors.length < 100) errors.push(message.trim());
      },
    });
  const tries = gpu === "off" ? [] : gpu === "auto" ? hostGpus().map(({ build }) => build) : [gpu];
  for (const build of tries) {
    if (!hasBuild(build)) continue;
    const opened = await open(build).catch((error) => {
      if (error instanceof NoBinaryFoundError) return undefined;
      throw error;
    });
    const gpus = (await opened?.getGpuDeviceNames()) ?? [];
    if (opened !== undefined && gpus.length > 0) return { llama: opened, errors, gpus };
    await opened?.dispose();
  }
  if (gpu === "auto" || gpu === "off") return { llama: await open(false), errors, gpus: [] };
  const why = hasBuild(gpu)
    ? "and llama.cpp finds no GPU that it can use so: is its driver installed, and may this user open it?"
    : `and this installation carries no such build of llama.cpp: make the bundle where engine.gpu is ${gpu}.`;
  throw new EngineFault("engine_unavailable", `engine.gpu is ${gpu}, ${why} With engine.gpu: off the CPU computes.`);
}

/** What computes, for the operator: nobody should believe in a GPU that is not used. */
export function deviceOf(
  { llama: { gpu }, gpus }: Opened,
  choice: GpuChoice,
  { gpuLayers, fileInsights: { totalLayers } }: LlamaModel,
): string {
  if (gpus.length > 0) return `${gpus.join(", ")} (${gpu}), ${gpuLayers} of ${totalLayers} layers`;
  const unused = choice === "off" ? [] : hostGpus();
  return unused.length === 0 ? "CPU" : `CPU, since llama.cpp can't use what is here (${unused.map(({ driver }) => driver).join(", ")})`;
}

interface Ready {
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  readonly chat: ChatWrapper;
}

/** Throws a sentence when the file is none that llama.cpp can load, and `EngineFault` when it does not fit into memory. */
export async function load(opened: Opened, settings: LlamaSettings, head: GgufHead): Promise<Ready> {
  const type = resolvableChatWrapperTypeNames.find((name) => name === (settings.template ?? "auto"));
  if (type === undefined)
    throw new Error(
      `There is no chat template ${settings.template}. The catalogue may name: ${resolvableChatWrapperTypeNames.join(", ")}.`,
    );
  try {
    return await loadAs(type, opened.llama, settings, head);
  } catch (error) {
    if (error instanceof EngineFault) throw error;
    // llama.cpp's own words come through its logger, a moment later.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const cause = opened.errors.find((one) => one.includes("architecture")) ?? opened.errors[0] ?? String(error);
    throw new Error(`llama.cpp can't load ${settings.file}: ${cause.split("\n")[0]}. ${adviceFor(cause)}`, { cause: error });
  }
}

async function loadAs(
  type: (typeof resolvableChatWrapperTypeNames)[number],
  llama: Llama,
  settings: LlamaSettings,
  head: GgufHead,
): Promise<Ready> {
  // The weights are mapped, not read: what has to fit is known before memory is taken.
  const model = await llama.loadModel({
    modelPath: settings.file,
    gpuLayers: settings.gpuLayers ?? { fitContext: { contextSize: settings.contextTokens * settings.parallel } },
  });
  if (!(model.trainContextSize > 0))
    throw new EngineFault(
      "engine_unavailable",
      `${settings.file} says that it was trained for ${model.trainContextSize} tokens: it is no model that can answer.`,
    );
  checkMemory(settings, head, 1 - model.gpuLayers / model.fileInsights.totalLayers);
  const creating = model.createContext({
    contextSize: settings.contextTokens,
    sequences: settings.parallel,
    threads: llama.maxThreads,
    // Neighbours in the order of their sequences share a computation; whatever is asked for fits, since prompts come in pieces.
    batching: {
      itemPrioritizationStrategy: ({ items }) =>
        items.toSorted((a, b) => a.evaluationPriority - b.evaluationPriority).map((item) => ({ item, processAmount: item.tokens.length })),
    },
  });
  // The template is tried out while llama.cpp takes memory: either lasts as long as the weights do to load.
  const chat = resolveChatWrapper(model, { type, warningLogs: false });
  return { model, context: await creating, chat };
}

export function factsOf(model: LlamaModel, chat: ChatWrapper): GgufFacts {
  const { license: licence } = model.fileInfo.metadata.general;
  const template = Object.entries(chatWrappers).find(([, Wrapper]) => chat.constructor === Wrapper)?.[0] ?? "general";
  return { contextTokens: model.trainContextSize, licence, template };
}

function adviceFor(cause: string): string {
  return cause.includes("architecture")
    ? "This version of the engine does not know that kind of model: use another one."
    : "The file is damaged or not a model: fetch it again (`npx sallyport models pull`).";
}
