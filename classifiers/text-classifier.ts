import { type Model, thresholdOf } from "./onnx/model.ts";
import type { Pool } from "./onnx/pool.ts";
import type { Tokens } from "./onnx/tokens.ts";
import { type Window, windowsOf } from "./onnx/windows.ts";
import type { Input } from "./onnx/worker.ts";
import type { Classifier, JudgeOptions, Origin, ScoredSpan, TextVerdict } from "./verdict.ts";
import { VerdictCache } from "./verdict-cache.ts";

/** Reads the logits of one window. */
export interface Reading {
  readonly score: number;
  readonly categories?: Readonly<Record<string, number>>;
}

/** `injection` and `delicate`: one score a text, the highest of its windows. */
export class TextClassifier implements Classifier<TextVerdict> {
  readonly model: Model;
  readonly #pool: Pool;
  readonly #read: (logits: Float32Array) => Reading;
  readonly #cache: VerdictCache<TextVerdict>;

  constructor(model: Model, pool: Pool, read: (logits: Float32Array) => Reading) {
    this.model = model;
    this.#pool = pool;
    this.#read = read;
    this.#cache = new VerdictCache(`${model.sha256} ${JSON.stringify(model.thresholds)}`);
  }

  async judge(text: string, { origin = "user", signal, scope = "" }: JudgeOptions = {}): Promise<TextVerdict> {
    return await this.#cache.answer([text, origin, scope], () => this.#pool.admit(() => this.#judge(text, origin, signal)));
  }

  async selfTest(): Promise<void> {
    const { id, self_test } = this.model;
    const [positive, negative] = await Promise.all([this.judge(self_test.positive), this.judge(self_test.negative)]);
    if (!positive.flagged || negative.flagged) {
      const said = `${positive.score.toFixed(3)} and ${negative.score.toFixed(3)}, threshold ${positive.threshold}`;
      throw new Error(`${id} does not tell its known positive from its known negative (${said}).`);
    }
  }

  async #judge(text: string, origin: Origin, signal?: AbortSignal): Promise<TextVerdict> {
    const tokens = await this.#pool.tokenise(text);
    const head = this.#headOf(origin);
    const size = this.model.tokens_max - head.length - 1;
    const windows = windowsOf(tokens.ids.length, size, this.model.overlap);
    const inputs = windows.map((window): Input => ({ file: this.model.file, ids: this.#idsOf(tokens, window, head) }));
    const readings = (await this.#pool.compute(inputs, signal)).map(this.#read);
    const threshold = thresholdOf(this.model, origin);
    const score = Math.max(0, ...readings.map((one) => one.score));
    return {
      score,
      threshold,
      flagged: windows.length > 0 && score >= threshold,
      spans: spansOf(tokens, windows, readings, threshold),
      tokensTotal: tokens.ids.length,
      tokensScanned: windows.at(-1)?.to ?? 0,
      windows: windows.length,
      ...categoriesOf(readings),
    };
  }

  #headOf(origin: Origin): number[] {
    const { cls, origins } = this.model.special;
    const marker = origins?.[origin];
    return marker === undefined ? [cls] : [cls, marker];
  }

  #idsOf({ ids }: Tokens, { from, to }: Window, head: readonly number[]): Int32Array {
    return Int32Array.of(...head, ...ids.subarray(from, to), this.model.special.sep);
  }
}

function spansOf({ starts, ends }: Tokens, windows: readonly Window[], readings: readonly Reading[], threshold: number): ScoredSpan[] {
  const spans: ScoredSpan[] = [];
  for (const [index, { from, to }] of windows.entries()) {
    const score = readings[index]?.score ?? 0;
    if (score < threshold) continue;
    const start = starts[from] ?? 0;
    const end = ends[to - 1] ?? start;
    const last = spans.at(-1);
    if (last !== undefined && start <= last.end) spans[spans.length - 1] = { start: last.start, end, score: Math.max(last.score, score) };
    else spans.push({ start, end, score });
  }
  return spans;
}

/** The highest of all windows, category by category. */
function categoriesOf(readings: readonly Reading[]): Pick<TextVerdict, "categories"> {
  const highest: Record<string, number> = {};
  for (const { categories = {} } of readings) {
    for (const [name, score] of Object.entries(categories)) highest[name] = Math.max(score, highest[name] ?? 0);
  }
  return Object.keys(highest).length === 0 ? {} : { categories: highest };
}
