import { measureRound, type Round, type Summary, summarise } from "../../bench/answer.ts";
import { rounded } from "../../bench/statistics.ts";
import { type Config, readConfig } from "../../server/config.ts";
import { setUp } from "../commands/setup.ts";
import { openConfiguredClassifiers, openEngines } from "../engines.ts";
import { step } from "../progress.ts";
import { benchConfig, openBenchAppliance } from "./appliance.ts";
import type { Bench, Measurement } from "./benchmark.ts";

/** `bench`: answers with guards on and off, in turns. */
export async function benchAnswer({ quick = false }: { readonly quick?: boolean | undefined }, bench: Bench): Promise<Measurement> {
  const plan = quick ? { streams: [1, 4], rounds: 1, tokensMax: 32 } : { streams: [1, 2, 4, 8], rounds: 5, tokensMax: 96 };
  const config = readConfig();
  const rounds = await measure(config, plan, bench);
  const summary = summaryOf(plan, rounds);
  const { models, engine } = config;
  return { report: { model: models[0]?.id, engine, plan, summary, rounds }, table: table(summary) };
}

interface Plan {
  readonly streams: readonly number[];
  readonly rounds: number;
  readonly tokensMax: number;
}

type Guards = "on" | "off";
type Measured = Round & { readonly guards: Guards };

async function measure(config: Config, plan: Plan, { stop, scratch }: Bench): Promise<Measured[]> {
  const configs = { on: benchConfig(config, scratch, "on"), off: benchConfig(config, scratch, "off") };
  for (const one of Object.values(configs)) await setUp(one, stop);
  await using classifiers = await openConfiguredClassifiers(config);
  await using loaded = new AsyncDisposableStack();
  const engines = await step("Loading the models", () => openEngines(config, stop));
  for (const one of engines) loaded.use(one);
  await using on = await openBenchAppliance(configs.on, { engines, classifiers });
  await using off = await openBenchAppliance(configs.off, { engines, classifiers });
  const measured: Measured[] = [];
  await step("Measuring", async (progress) => {
    await measureRound(on.client, 1, 8, stop); // what only the first call pays is not measured
    for (let round = 0; round < plan.rounds; round += 1) {
      for (const streams of plan.streams) {
        for (const guards of round % 2 === 0 ? (["on", "off"] as const) : (["off", "on"] as const)) {
          progress(`round ${round + 1} of ${plan.rounds}, ${streams} streams, guards ${guards}`);
          measured.push({ ...(await measureRound((guards === "on" ? on : off).client, streams, plan.tokensMax, stop)), guards });
        }
      }
    }
  });
  return measured;
}

interface Row {
  readonly streams: number;
  readonly on: Summary;
  readonly off: Summary;
  /** Tokens a second with guards on, by those with guards off. */
  readonly ratio: number;
}

function summaryOf(plan: Plan, rounds: readonly Measured[]): Row[] {
  return plan.streams.map((streams) => {
    const of = (guards: Guards): Summary => summarise(rounds.filter((one) => one.streams === streams && one.guards === guards));
    const [on, off] = [of("on"), of("off")];
    return { streams, on, off, ratio: rounded(on.tokensPerSecond / off.tokensPerSecond) };
  });
}

function table(rows: readonly Row[]): string {
  const line = (cells: readonly (string | number)[]): string => cells.map((cell) => String(cell).padStart(12)).join("");
  const head = ["streams", "guards", "TTFT ms", "token ms", "tokens/s", "healthz p99", "on/off"];
  return [
    line(head),
    ...rows.flatMap(({ streams, on, off, ratio }) =>
      [["on", on, ratio] as const, ["off", off, ""] as const].map(([guards, one, shown]) =>
        line([streams, guards, one.ttftMs, one.interTokenMs, one.tokensPerSecond, one.healthP99Ms, shown]),
      ),
    ),
  ].join("\n");
}
