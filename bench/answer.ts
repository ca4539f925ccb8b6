import { randomInt } from "node:crypto";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import type { ApiClient } from "../scripts/api-client.ts";
import { median, percentile, rounded } from "./statistics.ts";

/** One round: some streams at once, until all have ended. Times in milliseconds. */
export interface Round {
  readonly streams: number;
  /** Of each stream: from sending the call to the first text. */
  readonly ttftMs: readonly number[];
  /** Of each stream: from the first text to the end, by the tokens after the first. */
  readonly interTokenMs: readonly number[];
  /** Of all streams together. */
  readonly tokensPerSecond: number;
  /** Of each `/healthz`, asked 20 ms after the last one meanwhile: from asking to the whole answer. */
  readonly healthMs: readonly number[];
}

export interface Summary {
  readonly ttftMs: number;
  readonly interTokenMs: number;
  readonly tokensPerSecond: number;
  readonly healthP99Ms: number;
}

/** Long enough that a prompt costs something, with values that the guards have to find; another one each time, so that no verdict is remembered. */
const newPrompt = (): string =>
  `Order ${randomInt(1e9)}. Write a long, friendly letter to our customer Ms Example (ms.example@example.org, +1 415 555 2671), who paid with card
4111 1111 1111 1111 from 192.0.2.17 and never received her order of three lamps. Say that we are sorry, tell her what happens next, and explain in
detail how parcels travel from our warehouse to her door, what may go wrong on the way, and how she can follow them. Do not stop early.`;

/** Runs `streams` calls side by side, each for up to `tokensMax` tokens, of the model that the service takes by default or of `model`. Throws the signal's reason when aborted. */
export async function measureRound(
  client: ApiClient,
  streams: number,
  tokensMax: number,
  signal: AbortSignal,
  model?: string,
): Promise<Round> {
  const ended = new AbortController();
  const startedMs = performance.now();
  const answers = Promise.all(Array.from({ length: streams }, (_, seed) => measureStream(client, { seed, tokensMax, model }, signal)));
  const seconds = answers.then(() => (performance.now() - startedMs) / 1000).finally(() => ended.abort());
  const [all, took, healthMs] = await Promise.all([answers, seconds, pollHealth(client, ended.signal, signal)]);
  return {
    streams,
    ttftMs: all.map((one) => rounded(one.ttftMs)),
    interTokenMs: all.map((one) => rounded(one.interTokenMs)),
    tokensPerSecond: rounded(all.reduce((sum, one) => sum + one.tokens, 0) / took),
    healthMs: healthMs.map(rounded),
  };
}

/** Medians over rounds, but for the health check: the 99th percentile of all its answers. */
export function summarise(rounds: readonly Round[]): Summary {
  return {
    ttftMs: median(rounds.flatMap((one) => one.ttftMs)),
    interTokenMs: median(rounds.flatMap((one) => one.interTokenMs)),
    tokensPerSecond: median(rounds.map((one) => one.tokensPerSecond)),
    healthP99Ms: percentile(
      rounds.flatMap((one) => one.healthMs),
      0.99,
    ),
  };
}

async function measureStream(
  client: ApiClient,
  { seed, tokensMax, model }: { seed: number; tokensMax: number; model: string | undefined },
  signal: AbortSignal,
): Promise<{ ttftMs: number; interTokenMs: number; tokens: number }> {
  const body = {
    model,
    messages: [{ role: "user", content: newPrompt() }],
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: tokensMax,
    temperature: 0.7,
    seed,
  };
  const startedMs = performance.now();
  let firstMs: number | undefined;
  let tokens = 0;
  for await (const chunk of client.stream("/v1/chat/completions", body, signal)) {
    if (chunk.choices[0]?.delta.content) firstMs ??= performance.now();
    tokens = chunk.usage?.completion_tokens ?? tokens;
  }
  const endedMs = performance.now();
  if (firstMs === undefined || tokens < 2) throw new Error("The model answered with less than two tokens: there is nothing to measure.");
  return { ttftMs: firstMs - startedMs, interTokenMs: (endedMs - firstMs) / (tokens - 1), tokens };
}

/** Until `ended`. */
async function pollHealth(client: ApiClient, ended: AbortSignal, signal: AbortSignal): Promise<number[]> {
  const times: number[] = [];
  while (!ended.aborted) {
    const askedMs = performance.now();
    await client.json("GET", "/healthz", undefined, signal);
    times.push(performance.now() - askedMs);
    await pause(100); // often enough to see a stall, too seldom to be load
  }
  return times;
}
