import type { Traffic } from "./soak.ts";
import { median, percentile, rounded } from "./statistics.ts";

/** Resident memory of the service and of its engine's process. */
export interface Sample {
  readonly atMs: number;
  readonly service: number;
  readonly engine: number;
}

/** What is left when all is quiet. */
export interface Left {
  /** Calls that hold a place in the engine, or wait for one. */
  readonly places: number;
  readonly received: number;
  readonly settled: number;
}

/** Less says nothing about memory: what is compiled and cached first takes minutes. */
const judgedFromMs = 600_000;
const growthMax = 0.05;
/** Among so many answers some repeat the secret. */
const answersMin = 100;

type Process = "service" | "engine";
interface Grown {
  /** Megabytes; medians over the twelfth of the time that follows the first sixth, and over the last twelfth. */
  readonly warmMb: number;
  readonly endMb: number;
  readonly growth: number;
}

/** Everything that a soak says, and `failures`: why it did not pass. */
export function reportOf(traffic: Traffic, samples: readonly Sample[], left: Left, startedMs: number, endedMs: number) {
  const tookMs = endedMs - startedMs;
  const memory = { service: grown("service"), engine: grown("engine") };
  const { sent, answered, disconnected, refusals, own, crossings, gaps } = traffic;
  const failures = [
    ...(left.places > 0 ? [`${left.places} places are still held though all is quiet`] : []),
    ...(left.settled === left.received ? [] : [`${left.received} calls were received and ${left.settled} settled`]),
    ...(crossings.length > 0 ? [`${crossings.length} answers held another identity's secret, first: ${crossings[0]}`] : []),
    ...(own === 0 && answered >= answersMin ? ["no answer held the caller's own secret: another's would hardly have been seen"] : []),
    ...Object.entries(memory)
      .filter(([, { growth }]) => tookMs >= judgedFromMs && growth > growthMax)
      .map(([name, { growth }]) => `the ${name} grew by ${rounded(growth * 100)} % after it was warm`),
  ];
  return {
    minutes: rounded(tookMs / 60_000),
    ...{ sent, answered, disconnected, refusals, own, crossings: crossings.length },
    ...{ received: left.received, settled: left.settled, placesLeft: left.places },
    gapMs: gapsOf(gaps),
    memory,
    memoryJudged: tookMs >= judgedFromMs,
    perMinute: Array.from({ length: Math.ceil(tookMs / 60_000) }, (_, minute) => {
      const within = ({ atMs }: { atMs: number }): boolean => Math.floor((atMs - startedMs) / 60_000) === minute;
      const own = samples.filter(within);
      return {
        serviceMb: megabytes(own.map(({ service }) => service)),
        engineMb: megabytes(own.map(({ engine }) => engine)),
        ...gapsOf(gaps.filter(within)),
      };
    }),
    failures,
  };

  function grown(process: Process): Grown {
    const from = (begin: number, end: number): number =>
      megabytes(
        samples
          .filter(({ atMs }) => atMs >= startedMs + begin * tookMs && atMs <= startedMs + end * tookMs)
          .map((sample) => sample[process]),
      );
    const [warmMb, endMb] = [from(2 / 12, 3 / 12), from(11 / 12, 1)];
    return { warmMb, endMb, growth: warmMb > 0 ? rounded(endMb / warmMb - 1) : 0 };
  }
}

const megabytes = (bytes: readonly number[]): number => Math.round(median(bytes) / 1e5) / 10;

function gapsOf(gaps: Traffic["gaps"]): { p50: number; p99: number } {
  const ms = gaps.map((gap) => gap.ms);
  return { p50: rounded(percentile(ms, 0.5)), p99: rounded(percentile(ms, 0.99)) };
}
