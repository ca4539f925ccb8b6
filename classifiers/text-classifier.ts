import { type Model, thresholdOf } from "./onnx/model.ts";
import type { Pool } from "./onnx/pool.ts";
import type { Tokens } from "./onnx/tokens.ts";
import { type Window, windowsOf } from "./onnx/windows.ts";
import type { Input } from "./onnx/worker.ts";
import type { Classifier, JudgeOptions, Origin, ScoredSpan, TextVerdict } from "./verdict.ts";
import { VerdictCache } from "./verdict-cache.ts";
import { inOriginal, type Mapped } from "./views/mapped.ts";

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
  readonly #viewed: boolean;
  readonly #cache: VerdictCache<TextVerdict>;

  /** @param viewed whether it takes disguises off a text first. */
  constructor(model: Model, pool: Pool, read: (logits: Float32Array) => Reading, { viewed = false } = {}) {
    this.model = model;
    this.#pool = pool;
    this.#read = read;
    this.#viewed = viewed;
    this.#cache = new VerdictCache(`${model.sha256} ${JSON.stringify(model.thresholds)}`);
  }

  async judge(text: string, { origin = "user", signal, scope = "" }: JudgeOptions = {}): Promise<TextVerdict> {
    return await this.#cache.answer([text, origin, scope], () => this.#pool.admit(() => this.#judge(text, origin, signal)));
  }

  async selfTest(origin: Origin = "user"): Promise<void> {
    const { id, self_test } = this.model;
    const positive = await this.judge(self_test.positive, { origin });
    const negative = await this.judge(self_test.negative, { origin });
    if (!positive.flagged || negative.flagged) {
      const said = `${positive.score.toFixed(3)} and ${negative.score.toFixed(3)}, threshold ${positive.threshold}`;
      throw new Error(`${id} does not tell its known positive from its known negative (${said}).`);
    }
  }

  async #judge(text: string, origin: Origin, signal?: AbortSignal): Promise<TextVerdict> {
    if (!this.#viewed) return await this.#judgeAsItIs(text, origin, signal);
    const view = await this.#pool.unveil(text, signal);
    const { spans, ...verdict } = await this.#judgeAsItIs(view.text, origin, signal);
    return { ...verdict, view: view.name, spans: spansInOriginal(spans, view) };
  }

  async #judgeAsItIs(text: string, origin: Origin, signal?: AbortSignal): Promise<TextVerdict> {
    const tokens = await this.#pool.tokenise(text, signal);
    const head = this.#headOf(origin);
    const size = this.model.tokens_max - head.length - 1;
    const windows = windowsOf(tokens.ids.length, size, this.model.overlap);
    const inputs = windows.map((window): Input => ({ file: this.model.file, ids: this.#idsOf(tokens, window, head) }));
    const readings = (await this.#pool.compute(inputs, signal)).map(this.#read);
    const threshold = thresholdOf(this.model, origin);
    const score = Math.max(0, ...readings.map((one) => one.score));
    return {
      model: this.model.id,
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

/** The windows that reach the threshold. */
function spansOf({ starts, ends }: Tokens, windows: readonly Window[], readings: readonly Reading[], threshold: number): ScoredSpan[] {
  const spans = windows.flatMap(({ from, to }, index) => {
    const score = readings[index]?.score ?? 0;
    const start = starts[from] ?? 0;
    return score < threshold ? [] : [{ start, end: ends[to - 1] ?? start, score }];
  });
  return merged(spans);
}

/** Where spans of a view stand in the text itself. */
function spansInOriginal(spans: readonly ScoredSpan[], view: Mapped): ScoredSpan[] {
  return merged(spans.map(({ start, end, score }) => ({ ...inOriginal(view, start, end), score })));
}

/** Spans in order of their beginning; such as touch or overlap become one, with the higher score. */
function merged(spans: readonly ScoredSpan[]): ScoredSpan[] {
  const found: ScoredSpan[] = [];
  for (const { start, end, score } of spans) {
    const last = found.at(-1);
    if (last === undefined || start > last.end) found.push({ start, end, score });
    else found[found.length - 1] = { start: last.start, end: Math.max(last.end, end), score: Math.max(last.score, score) };
  }
  return found;
}

/** The highest of all windows, category by category. */
function categoriesOf(readings: readonly Reading[]): Pick<TextVerdict, "categories"> {
  const highest: Record<string, number> = {};
  for (const { categories = {} } of readings) {
    for (const [name, score] of Object.entries(categories)) highest[name] = Math.max(score, highest[name] ?? 0);
  }
  return Object.keys(highest).length === 0 ? {} : { categories: highest };
}
