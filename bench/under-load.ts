import { randomInt } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { ApiClient } from "../scripts/api-client.ts";
import { median, percentile, rounded } from "./statistics.ts";

/** Two running answers while long prompts keep arriving, one after the other. Times in milliseconds. */
export interface UnderLoad {
  /** Between two pieces of text of a running answer. */
  readonly gapMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Of the long prompts: from sending to the first text; the median. */
  readonly prefillMs: number;
  /** Of a long prompt, as the server counts; the median. */
  readonly promptTokens: number;
}

const words = "the order of a lamp from our house to her door and back with more time for all who wait in line at this place".split(" ");

/** Words that are one token each, and begin differently each time, so that no cache helps. */
const longPrompt = (tokens: number): string =>
  `${randomInt(1e9)} ${Array.from({ length: tokens }, () => words[randomInt(words.length)]).join(" ")}`;

/** Throws the signal's reason when aborted. */
export async function measureUnderLoad(
  client: ApiClient,
  { prompts, tokens, model }: { readonly prompts: number; readonly tokens: number; readonly model: string | undefined },
  signal: AbortSignal,
): Promise<UnderLoad> {
  const over = new AbortController();
  const ended = AbortSignal.any([signal, over.signal]);
  const gapsMs: number[] = [];
  const started = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const running = started.map(({ resolve }) => listen(client, model, gapsMs, resolve, ended));
  const listening = Promise.all(running);
  const prefills: { ms: number; tokens: number }[] = [];
  try {
    await Promise.race([Promise.all(started.map(({ promise }) => promise)), listening]);
    gapsMs.length = 0;
    for (let count = 0; count < prompts; count += 1) prefills.push(await measurePrefill(client, model, tokens, signal));
  } finally {
    over.abort();
    await listening.catch((error) => {
      if (!over.signal.aborted) throw error;
    });
  }
  const gap = (fraction: number): number => rounded(percentile(gapsMs, fraction));
  return {
    gapMs: { p50: gap(0.5), p99: gap(0.99), max: gap(1) },
    prefillMs: rounded(median(prefills.map(({ ms }) => ms))),
    promptTokens: median(prefills.map((one) => one.tokens)),
  };
}

/** One answer after another until `ended`; the time between two answers does not count. */
export async function listen(
  client: ApiClient,
  model: string | undefined,
  gapsMs: number[],
  begun: () => void,
  ended: AbortSignal,
): Promise<void> {
  while (!ended.aborted) {
    const content = `${randomInt(1e9)}. Tell a very long story about a lamp that travels around the world. Do not stop early.`;
    let lastMs: number | undefined;
    for await (const chunk of client.stream("/v1/chat/completions", { ...bodyOf(model, content), max_tokens: 900 }, ended)) {
      if (!chunk.choices[0]?.delta.content) continue;
      const nowMs = performance.now();
      if (lastMs !== undefined) gapsMs.push(nowMs - lastMs);
      lastMs = nowMs;
      begun();
    }
  }
}

async function measurePrefill(client: ApiClient, model: string | undefined, tokens: number, signal: AbortSignal) {
  const body = { ...bodyOf(model, longPrompt(tokens)), max_tokens: 2, stream_options: { include_usage: true } };
  const askedMs = performance.now();
  let firstMs: number | undefined;
  let prompt = 0;
  for await (const chunk of client.stream("/v1/chat/completions", body, signal)) {
    if (chunk.choices[0]?.delta.content) firstMs ??= performance.now();
    prompt = chunk.usage?.prompt_tokens ?? prompt;
  }
  return { ms: (firstMs ?? performance.now()) - askedMs, tokens: prompt };
}

const bodyOf = (model: string | undefined, content: string): object => ({
  model,
  messages: [{ role: "user", content }],
  stream: true,
  temperature: 0.7,
});
