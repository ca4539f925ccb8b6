import { EngineFault } from "./engine.ts";
import type { GgufHead } from "./gguf-head.ts";
import type { LlamaSettings } from "./llama-protocol.ts";

/** Bytes that a loaded model takes. */
export interface Need {
  readonly weights: number;
  /** Keys and values of as many calls as may run. */
  readonly calls: number;
  /** The engine's process, and the logits of a batch. */
  readonly computing: number;
}

/** Tokens that llama.cpp makes room for the logits of. */
const batchTokens = 512;
/** Measured: Node, llama.cpp and a vocabulary. */
const processBytes = 100e6;

/** What a loaded model will take, from what its file says. `share`: of the layers that the CPU computes; 1 counts what lies in a GPU's memory as well. */
export function needOf({ bytes, contextTokens, parallel }: LlamaSettings, head: GgufHead, share = 1): Need {
  const vocabulary = head.lengths.get("tokenizer.ggml.tokens") ?? 0;
  return {
    weights: bytes * share,
    calls: bytesPerToken(head) * contextTokens * parallel * share,
    computing: processBytes + 4 * vocabulary * Math.min(batchTokens, contextTokens * parallel),
  };
}

export function totalOf({ weights, calls, computing }: Need): number {
  return weights + calls + computing;
}

/** Throws `EngineFault` when it needs more memory than is free. A GPU's own is left to llama.cpp. */
export function checkMemory(settings: LlamaSettings, head: GgufHead, share: number): void {
  const need = needOf(settings, head, share);
  const free = process.availableMemory();
  if (totalOf(need) > free) throw tooLarge(settings, need, `${gigabytes(free)} GB are free`);
}

/** `room`: how much there is, as the rest of a sentence. */
export function tooLarge({ file, contextTokens, parallel }: LlamaSettings, need: Need, room: string): EngineFault {
  return new EngineFault(
    "engine_unavailable",
    `${file} would need ${gigabytes(totalOf(need))} GB of memory, ${gigabytes(need.weights)} for itself, ${gigabytes(need.calls)} for ${parallel} calls of ` +
      `${contextTokens} tokens and ${gigabytes(need.computing)} to compute, and ${room}. Lower engine.parallel or engine.context_tokens, or serve a smaller model.`,
  );
}

export const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(1);

/** Of keys and values, 16 bits each. */
export function bytesPerToken({ values }: GgufHead): number {
  const of = (key: string): number | readonly number[] | undefined => {
    const value = values.get(`${values.get("general.architecture")}.${key}`);
    return typeof value === "string" ? undefined : value;
  };
  const one = (key: string): number | undefined => [of(key)].flat()[0];
  const heads = of("attention.head_count");
  const keyValueHeads = of("attention.head_count_kv") ?? heads ?? 0;
  const inAllBlocks =
    typeof keyValueHeads === "number" ? keyValueHeads * (one("block_count") ?? 0) : keyValueHeads.reduce((sum, each) => sum + each, 0);
  const headWidth = (one("embedding_length") ?? 0) / (one("attention.head_count") ?? 1);
  return 2 * inAllBlocks * ((one("attention.key_length") ?? headWidth) + (one("attention.value_length") ?? headWidth));
}
