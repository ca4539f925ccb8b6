import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { measureRound, type Round, type Summary, summarise } from "../bench/answer.ts";
import { rounded } from "../bench/statistics.ts";
import { type Config, readConfig } from "../server/config.ts";
import { benchConfig, openBenchAppliance } from "./bench-appliance.ts";
import { reportFile, writeReport } from "./bench-report.ts";
import { setUp } from "./commands/setup.ts";
import { openConfiguredClassifiers, openEngines } from "./engines.ts";
import { host } from "./host.ts";
import { step } from "./progress.ts";
import { Stopped, stopSignal } from "./stop-signal.ts";

interface Options {
  readonly quick: boolean;
  readonly out?: string | undefined;
}

/** `bench`: answers with guards on and off, in turns. Returns the exit status. */
export async function benchAnswer({ quick, out: given }: Options): Promise<number> {
  const out = reportFile("answer", given);
  const plan = quick ? { streams: [1, 4], rounds: 1, tokensMax: 32 } : { streams: [1, 2, 4, 8], rounds: 5, tokensMax: 96 };
  const stop = stopSignal();
  const scratch = mkdtempSync(join(tmpdir(), "sallyport-bench-"));
  try {
    const config = readConfig();
    const rounds = await measure(config, scratch, plan, stop);
    const result = report(config, plan, rounds);
    writeReport(out, result);
    console.log(table(result.summary));
    console.log(`\n${out}`);
    return 0;
  } catch (error) {
    throw stop.aborted ? new Stopped("Stopped before all rounds were measured; nothing was written.") : error;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

interface Plan {
  readonly streams: readonly number[];
  readonly rounds: number;
  readonly tokensMax: number;
}

type Guards = "on" | "off";
type Measured = Round & { readonly guards: Guards };

async function measure(config: Config, scratch: string, plan: Plan, stop: AbortSignal): Promise<Measured[]> {
  const configs = { on: benchConfig(config, scratch, "on"), off: benchConfig(config, scratch, "off") };
  for (const one of Object.values(configs)) await setUp(one, stop);
  await using classifiers = await openConfiguredClassifiers(config);
  const engines = await step("Loading the models", () => openEngines(config, stop));
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

function report({ models, engine }: Config, plan: Plan, rounds: readonly Measured[]) {
  const summary = plan.streams.map((streams): Row => {
    const of = (guards: Guards): Summary => summarise(rounds.filter((one) => one.streams === streams && one.guards === guards));
    const [on, off] = [of("on"), of("off")];
    return { streams, on, off, ratio: rounded(on.tokensPerSecond / off.tokensPerSecond) };
  });
  return {
    made: new Date().toISOString(),
    command: "npx sallyport bench",
    model: models[0]?.id,
    engine,
    plan,
    host: host(),
    summary,
    rounds,
  };
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
