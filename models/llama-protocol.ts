import type { EngineEvent, EngineFaultCode, Generation, Sampling } from "./engine.ts";
import type { GpuChoice } from "./gpu.ts";
import type { PinnedFile } from "./verify-file.ts";

/** What the child loads. One argument of its command line, as JSON. */
export interface LlamaSettings extends PinnedFile {
  /** Path of the GGUF file. */
  readonly file: string;
  /** Prompt and answer of one call together. */
  readonly contextTokens: number;
  /** Calls that decode side by side; each has a context of its own. */
  readonly parallel: number;
  /** Threads that compute, if no other program needs the cores; 0 means one a core. */
  readonly threads: number;
  readonly gpu: GpuChoice;
  /** Of the model, as many as fit unless said; the rest stays with the CPU. */
  readonly gpuLayers?: number;
  /** About how long a step with a piece of a waiting prompt lasts. */
  readonly prefillStepMs: number;
  /** Of the time while answers run: what steps with pieces of prompts take of it at most, above 0. */
  readonly prefillShare: number;
  /** Of keys and values that are kept of ended calls, for the next call of the same identity. */
  readonly cacheBytesMax: number;
  /** A child that computes and gets no further for so long is ended and started again. */
  readonly stallMs: number;
  /** A chat template's name in node-llama-cpp; absent: the one inside the file. */
  readonly template?: string;
  /** Sampling for calls that say nothing. */
  readonly defaults: Pick<Sampling, "temperature" | "topP" | "topK" | "minP"> & {
    /** Divides the odds of the last tokens of the answer. */
    readonly repeatPenalty?: number | undefined;
  };
}

/** What a GGUF says about itself. */
export interface GgufFacts {
  /** What the model was trained for. */
  readonly contextTokens: number;
  readonly licence: string | undefined;
  /** The chat template that fits it, by its name in node-llama-cpp; `general` when the file has none. */
  readonly template: string;
}

/** A generation with what its answer, and each call in it, must fit, as grammars (GBNF). */
export interface Grammars {
  readonly answer?: string;
  readonly call?: string;
}

export type ToChild =
  | { readonly type: "generate"; readonly call: number; readonly generation: Generation; readonly grammars: Grammars }
  | { readonly type: "tokenise"; readonly call: number; readonly generation: Generation }
  | { readonly type: "cancel"; readonly call: number };

export type FromChild =
  | {
      readonly type: "ready";
      readonly contextTokens: number;
      readonly stops: readonly string[];
      readonly device: string;
      readonly facts: GgufFacts;
    }
  | { readonly type: "unfit"; readonly message: string }
  | { readonly type: "event"; readonly call: number; readonly event: EngineEvent }
  | { readonly type: "tokens"; readonly call: number; readonly tokens: readonly number[] }
  | { readonly type: "fault"; readonly call: number; readonly code: EngineFaultCode; readonly message: string }
  | { readonly type: "free"; readonly call: number }
  /** Now and then while something is computed. */
  | { readonly type: "progress" };
