import { EngineFault } from "./engine.ts";
import type { LlamaSettings } from "./llama-protocol.ts";

type PerBlock = number | readonly number[];

/** What the head of a GGUF says of the model's shape. */
interface Architecture {
  readonly architectureMetadata: {
    readonly block_count?: number;
    readonly embedding_length?: number;
    readonly attention?: {
      readonly head_count?: PerBlock;
      readonly head_count_kv?: PerBlock;
      readonly key_length?: number;
      readonly value_length?: number;
    };
  };
}

/**
 * Throws `EngineFault` when the weights, and the keys and values of as many calls as may run, need more memory than is free. `share`: of the layers that the
 * CPU computes; the others lie in a GPU's memory, where llama.cpp looks for itself.
 */
export function checkMemory({ file, bytes: whole, contextTokens, parallel }: LlamaSettings, info: Architecture, share: number): void {
  const bytes = whole * share;
  const calls = bytesPerToken(info) * contextTokens * parallel * share;
  const free = process.availableMemory();
  if (bytes + calls <= free) return;
  const gigabytes = (size: number): string => (size / 1e9).toFixed(1);
  throw new EngineFault(
    "engine_unavailable",
    `${file} would need ${gigabytes(bytes + calls)} GB of memory, ${gigabytes(bytes)} for itself and ${gigabytes(calls)} for ` +
      `${parallel} calls of ${contextTokens} tokens, and ${gigabytes(free)} GB are free. Lower engine.parallel or engine.context_tokens, or serve a smaller model.`,
  );
}

/** Of keys and values, 16 bits each. */
export function bytesPerToken({ architectureMetadata }: Architecture): number {
  const { block_count: blocks = 0, embedding_length: width = 0, attention } = architectureMetadata;
  const ofBlock = (list: number | readonly number[] | undefined): number =>
    typeof list === "number" ? list * blocks : (list ?? []).reduce((sum, one) => sum + one, 0);
  const heads = attention?.head_count;
  const headWidth = width / (typeof heads === "number" ? heads : (heads?.[0] ?? 1));
  return 2 * ofBlock(attention?.head_count_kv ?? heads) * ((attention?.key_length ?? headWidth) + (attention?.value_length ?? headWidth));
}
