import { performance } from "node:perf_hooks";
import { type Classifiers, type Task, tasks } from "../classifiers/classifier.ts";
import type { Engine } from "../models/engine.ts";
import { percentile, rounded } from "./statistics.ts";

/** Of texts of one length. */
export interface Bucket {
  /** Words and signs of each text, about as many as tokens. */
  readonly words: number;
  /** Tokens of a text, in the middle. */
  readonly tokens: number;
  /** One text at a time through all three, side by side. */
  readonly all: Times;
  /** One text at a time through one. */
  readonly each: Readonly<Record<Task, Times>>;
  /** Texts a second through all three, eight texts at a time. */
  readonly textsPerSecond: number;
}

/** Milliseconds. */
export interface Times {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

const sideBySide = 8;

/** Texts that no cache has seen: words of an ordinary letter in an order that a counter decides. */
export function* texts(words: number, seed: number): Generator<string> {
  const known = letter.split(/\s+/u);
  for (let state = seed; ; ) {
    const chosen: string[] = [];
    while (chosen.length < words) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      chosen.push(known[state % known.length] ?? "");
    }
    yield chosen.join(" ");
  }
}

const letter = `Dear Ms Okafor , thank you for your letter of 12 March about the kitchen at 14 Mill Lane . Our plumber came on Tuesday and found
that the valve under the sink had been fitted the wrong way round . He will be back next week with a new part , please make sure that
somebody is at home between nine and noon . The work costs 118 pounds , which your contract covers . If the water comes back before then , turn the
red tap to the right and call us at any hour . We are sorry for the trouble and hope that the new floor has not suffered . Kind regards , Tom Weller`;

/** Measures `count` texts of each length. Throws the signal's reason when aborted. */
export async function measureBucket(
  classifiers: Classifiers,
  words: number,
  count: number,
  seed: number,
  signal: AbortSignal,
): Promise<Bucket> {
  const source = texts(words, seed);
  const next = (): string => source.next().value ?? "";
  let tokens = 0;
  const all = await timed(count, signal, async () => {
    const text = next();
    const verdicts = await Promise.all(tasks.map((task) => classifiers[task].judge(text, { signal })));
    tokens = verdicts[0]?.tokensTotal ?? 0;
  });
  const each = {
    injection: await timed(count, signal, () => classifiers.injection.judge(next(), { signal })),
    delicate: await timed(count, signal, () => classifiers.delicate.judge(next(), { signal })),
    pii: await timed(count, signal, () => classifiers.pii.judge(next(), { signal })),
  };
  const startedMs = performance.now();
  let left = count * 2;
  const lane = async (): Promise<void> => {
    while (left-- > 0) {
      const text = next();
      await Promise.all(tasks.map((task) => classifiers[task].judge(text, { signal })));
    }
  };
  await Promise.all(Array.from({ length: sideBySide }, lane));
  return { words, tokens, all, each, textsPerSecond: rounded((count * 2) / ((performance.now() - startedMs) / 1000)) };
}

async function timed(count: number, signal: AbortSignal, work: () => Promise<unknown>): Promise<Times> {
  const times: number[] = [];
  for (let index = 0; index < count; index += 1) {
    signal.throwIfAborted();
    const startedMs = performance.now();
    await work();
    times.push(performance.now() - startedMs);
  }
  const at = (fraction: number): number => rounded(percentile(times, fraction));
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

/** Keeps a language model decoding until `signal` aborts; returns how many tokens it made a second meanwhile. */
export async function decode(engine: Engine, signal: AbortSignal): Promise<number> {
  const startedMs = performance.now();
  let tokens = 0;
  try {
    while (!signal.aborted) {
      const turns = [{ role: "user" as const, text: "Write a long story about a lighthouse, and do not stop." }];
      for await (const event of engine.generate({ turns, identity: "bench", tokensMax: 512, seed: tokens }, signal)) {
        if (event.type === "text") tokens += event.tokens;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return rounded(tokens / ((performance.now() - startedMs) / 1000));
}
