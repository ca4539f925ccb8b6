import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import type { ApiClient } from "../scripts/api-client.ts";
import { type Family, hostileInputs, type InputLimits } from "./hostile-inputs.ts";
import { median, percentile, rounded } from "./statistics.ts";
import { listen } from "./under-load.ts";

/** Between two pieces of text of a running answer, in milliseconds. */
interface Gaps {
  readonly p50: number;
  readonly p99: number;
}

/** One family's turn: the streams while nothing else happens, then while its inputs arrive one after the other. */
export interface HostileRound {
  readonly family: Family;
  readonly quiet: Gaps;
  readonly attacked: Gaps;
  /** How many, by `status code`. */
  readonly answers: Readonly<Record<string, number>>;
  readonly slowest: { readonly ms: number; readonly input: string };
  /** Of the service, over the attack, in bytes. */
  readonly residentGrowth: number;
}

export interface Plan {
  readonly rounds: number;
  /** Without an attack, and at least as long with one; every input comes once at least. */
  readonly windowMs: number;
  readonly families: readonly Family[];
}

interface Asked {
  /** Whose two answers are listened to. */
  readonly listener: ApiClient;
  readonly attacker: ApiClient;
  readonly limits: InputLimits;
  /** Of the service, in bytes. */
  resident(): number;
  progress(text: string): void;
}

/** Two answers of one identity run all the time. Throws the signal's reason when aborted. */
export async function measureHostile({ rounds, windowMs, families }: Plan, asked: Asked, signal: AbortSignal): Promise<HostileRound[]> {
  const over = new AbortController();
  const ended = AbortSignal.any([signal, over.signal]);
  const gaps: number[] = [];
  const begun = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const running = begun.map(({ resolve }) => listen(asked.listener, undefined, gaps, resolve, ended));
  const listening = Promise.all(running);
  const gapsWhile = async (work: () => Promise<unknown>): Promise<Gaps> => {
    gaps.length = 0;
    await work();
    return { p50: rounded(percentile(gaps, 0.5)), p99: rounded(percentile(gaps, 0.99)) };
  };
  const inputsOf = hostileInputs(asked.limits);
  const measured: HostileRound[] = [];
  const measureAll = async (): Promise<void> => {
    await Promise.all(begun.map(({ promise }) => promise));
    for (let round = 0; round < rounds; round += 1) {
      for (const family of families) {
        asked.progress(`round ${round + 1} of ${rounds}, ${family}`);
        const quiet = await gapsWhile(() => pause(windowMs, undefined, { signal: ended }));
        const residentBefore = asked.resident();
        const answers: Answered[] = [];
        const attacked = await gapsWhile(() => attack(family, { ...asked, inputsOf }, windowMs, answers, ended));
        measured.push({ family, quiet, attacked, ...summedUp(answers), residentGrowth: asked.resident() - residentBefore });
      }
    }
  };
  try {
    await Promise.race([measureAll(), listening]);
  } finally {
    over.abort();
    await listening.catch((error) => {
      if (!over.signal.aborted) throw error;
    });
  }
  return measured;
}

interface Answered {
  readonly ms: number;
  /** Status and code. */
  readonly said: string;
  readonly input: string;
}

/** Sends the inputs of a family one after the other, from the first to the last, and again until the time is over. */
async function attack(
  family: Family,
  { attacker, inputsOf }: Asked & { inputsOf: ReturnType<typeof hostileInputs> },
  forMs: number,
  answers: Answered[],
  ended: AbortSignal,
): Promise<void> {
  const startedMs = performance.now();
  do {
    for (const { path, body } of inputsOf(family)) {
      const sentMs = performance.now();
      const reply = await attacker.json("POST", path, body, ended);
      const { error, code } = reply.body as { error?: { code: string }; code?: string | null }; // this service's shapes
      const ms = performance.now() - sentMs;
      answers.push({ ms, said: `${reply.status} ${error?.code ?? code ?? "passed"}`, input: beginningOf(body) });
    }
  } while (performance.now() - startedMs < forMs);
}

/** Enough to know which it was. */
const beginningOf = (body: object): string => JSON.stringify(body).slice(0, 120);

function summedUp(answers: readonly Answered[]): Pick<HostileRound, "answers" | "slowest"> {
  const counts: Record<string, number> = {};
  for (const { said } of answers) counts[said] = (counts[said] ?? 0) + 1;
  const slowest = answers.reduce((worst, one) => (one.ms > worst.ms ? one : worst));
  return { answers: counts, slowest: { ms: rounded(slowest.ms), input: slowest.input } };
}

/** A family over all rounds: medians, but for the answers, which are all of them, and the slowest of them. */
export interface HostileSummary {
  readonly family: Family;
  readonly quiet: Gaps;
  readonly attacked: Gaps;
  /** Of the attacked streams, by the quiet ones of the same round. */
  readonly ratio: Gaps;
  readonly answers: Readonly<Record<string, number>>;
  readonly slowestMs: number;
  readonly residentGrowthMb: number;
}

export function summariseHostile(rounds: readonly HostileRound[]): HostileSummary[] {
  return [...Map.groupBy(rounds, ({ family }) => family)].map(([family, own]) => {
    const answers: Record<string, number> = {};
    for (const one of own) for (const [said, count] of Object.entries(one.answers)) answers[said] = (answers[said] ?? 0) + count;
    const gaps = (of: (round: HostileRound, key: keyof Gaps) => number): Gaps => ({
      p50: rounded(median(own.map((one) => of(one, "p50")))),
      p99: rounded(median(own.map((one) => of(one, "p99")))),
    });
    return {
      family,
      quiet: gaps(({ quiet }, key) => quiet[key]),
      attacked: gaps(({ attacked }, key) => attacked[key]),
      ratio: gaps(({ quiet, attacked }, key) => attacked[key] / quiet[key]),
      answers,
      slowestMs: Math.max(...own.map(({ slowest }) => slowest.ms)),
      residentGrowthMb: rounded(median(own.map(({ residentGrowth }) => residentGrowth)) / 1e6),
    };
  });
}

const slowestMaxMs = 2_000;
const ratioMax = 3;

/** What was promised of every input, and was not kept. */
export function failuresOf(summary: readonly HostileSummary[]): string[] {
  return summary.flatMap(({ family, slowestMs, ratio }) => [
    ...(slowestMs > slowestMaxMs ? [`${family}: an answer took ${slowestMs} ms`] : []),
    ...(ratio.p99 > ratioMax ? [`${family}: other streams' p99 is ${ratio.p99} times as long`] : []),
  ]);
}
