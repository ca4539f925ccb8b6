import type { EmbeddingModel } from "../onnx/model.ts";
import type { Pool } from "../onnx/pool.ts";
import { type Window, windowsOf } from "../onnx/windows.ts";

export interface Embedding {
  /** Of length one. */
  readonly vector: Float32Array;
  /** Of the text, without those that stand for its beginning and end. */
  readonly tokens: number;
}

/** How much nearer the like text of the self-test must be than the other. */
const nearerMin = 0.3;

/** Texts as vectors, whose scalar product says how near two of them are. */
export class Embedder {
  readonly model: EmbeddingModel;
  readonly #pool: Pool;

  constructor(model: EmbeddingModel, pool: Pool) {
    this.model = model;
    this.#pool = pool;
  }

  /** A text longer than one window is the mean of its windows, each by its tokens: nothing is cut off. Throws `ClassifiersBusyError` when too many texts wait. */
  async embed(text: string, signal?: AbortSignal): Promise<Embedding> {
    return await this.#pool.admit(async () => {
      const { ids } = await this.#pool.tokenise(text, signal);
      const { tokens_max, special, overlap, file, dimensions } = this.model;
      const windows = windowsOf(Math.max(1, ids.length), tokens_max - 2, overlap);
      const inputs = windows.map(({ from, to }) => ({ file, ids: Int32Array.of(special.cls, ...ids.subarray(from, to), special.sep) }));
      const means = await this.#pool.compute(inputs, signal);
      return { vector: unit(weighed(means, windows, dimensions)), tokens: ids.length };
    });
  }

  /** Rejects, with the reason, when the model does not tell what is alike from what is not. */
  async selfTest(): Promise<void> {
    const { id, self_test } = this.model;
    const text = await this.embed(self_test.text);
    const alike = await this.embed(self_test.alike);
    const other = await this.embed(self_test.other);
    const nearer = cosine(text.vector, alike.vector) - cosine(text.vector, other.vector);
    if (!(nearer >= nearerMin)) throw new Error(`${id} does not tell a like text from another: nearer by ${nearer.toFixed(3)} only.`);
  }
}

/** Scalar product of two vectors of length one. */
export function cosine(one: Float32Array = new Float32Array(), other: Float32Array = new Float32Array()): number {
  return one.reduce((sum, value, index) => sum + value * (other[index] ?? 0), 0);
}

function weighed(means: readonly Float32Array[], windows: readonly Window[], dimensions: number): Float32Array {
  const sum = new Float32Array(dimensions);
  for (const [index, { from, to }] of windows.entries()) {
    for (const [at, value] of (means[index] ?? []).entries()) sum[at] = (sum[at] ?? 0) + value * (to - from);
  }
  return sum;
}

function unit(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}
