import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { measureRound, type Round, type Summary, summarise } from "../../bench/answer.ts";
import { rounded } from "../../bench/statistics.ts";
import { type Models, startAppliance } from "../../server/appliance.ts";
import { type Config, readConfig } from "../../server/config.ts";
import { testEgress } from "../../server/egress.ts";
import { Events } from "../../server/events.ts";
import { ApiClient } from "../api-client.ts";
import { adversarialFile, benchAdversarial } from "../bench-adversarial.ts";
import { benchClassifiers, classifiersFile } from "../bench-classifiers.ts";
import { type Command, UsageError } from "../command.ts";
import { openConfiguredClassifiers, openEngines } from "../engines.ts";
import { host } from "../host.ts";
import { step } from "../progress.ts";
import { Stopped, stopSignal } from "../stop-signal.ts";
import { setUp } from "./setup.ts";

const resultsFile = fileURLToPath(new URL("../../bench/results/answer.json", import.meta.url));
const guardsOff = `input: { control_characters: off, injection: off, invisible_text: off, repetition: off, delicate: off, personal_data: off }
output: { control_characters: off, invisible_text: off, canary: off, repetition: off, links: off, delicate: off, personal_data: off }
`;

export const bench: Command = {
  summary: "measure this machine: time to first token, tokens a second, what the guards cost",
  usage: `Usage: npx sallyport bench [classifiers|adversarial] [--quick] [--out FILE]

Starts the appliance twice on ports of its own, once with the configured policy and once with every guard off, both on one
loaded model, and calls them in turns over mutual TLS. Reports medians: time to first token (TTFT), time between tokens,
tokens a second of all streams, and the 99th percentile of /healthz meanwhile. Needs no running service, and touches no
data of one; on a busy machine the numbers mean little.

\`bench classifiers\` measures the classifiers alone: milliseconds a text through all three and through each, texts a second, by
length of text, with the language model idle and decoding; and the peak of memory.

\`bench adversarial\` disguises attacks, and harmless twins of them, in ten ways, and reports how many of each the classifier of injection flags,
with the views of a text that it looks at and without.

  --quick      one short round: less than a minute with the default model
  --out FILE   where the JSON goes. Default: bench/results/answer.json, classifiers.json or adversarial.json`,

  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { quick: { type: "boolean", default: false }, out: { type: "string" } },
    });
    const [what] = positionals;
    if (positionals.length > 1 || !(what === undefined || what === "classifiers" || what === "adversarial"))
      throw new UsageError(`There is no \`bench ${positionals.join(" ")}\`.`);
    if (what !== undefined) {
      await (what === "classifiers"
        ? benchClassifiers(values.quick, values.out ?? classifiersFile)
        : benchAdversarial(values.quick, values.out ?? adversarialFile));
      return 0;
    }
    const out = values.out ?? resultsFile;
    const plan = values.quick ? { streams: [1, 4], rounds: 1, tokensMax: 32 } : { streams: [1, 2, 4, 8], rounds: 5, tokensMax: 96 };
    const stop = stopSignal();
    const scratch = mkdtempSync(join(tmpdir(), "sallyport-bench-"));
    try {
      const config = readConfig();
      const rounds = await measure(config, scratch, plan, stop);
      const result = report(config, plan, rounds);
      mkdirSync(dirname(resolve(out)), { recursive: true });
      writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`);
      console.log(table(result.summary));
      console.log(`\n${out}`);
      return 0;
    } catch (error) {
      throw stop.aborted ? new Stopped("Stopped before all rounds were measured; nothing was written.") : error;
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  },
};

interface Plan {
  readonly streams: readonly number[];
  readonly rounds: number;
  readonly tokensMax: number;
}

type Guards = "on" | "off";
type Measured = Round & { readonly guards: Guards };

async function measure(config: Config, scratch: string, plan: Plan, stop: AbortSignal): Promise<Measured[]> {
  const policyOff = join(scratch, "off.yaml");
  writeFileSync(policyOff, guardsOff);
  const configs: Record<Guards, Config> = {
    on: { ...config, dataDir: join(scratch, "on"), listen: { host: "127.0.0.1", port: 0 } },
    off: { ...config, dataDir: join(scratch, "off"), policy: policyOff, listen: { host: "127.0.0.1", port: 0 } },
  };
  for (const one of Object.values(configs)) await setUp(one, stop);
  await using classifiers = await openConfiguredClassifiers(config);
  const engines = await step("Loading the models", () => openEngines(config, stop));
  await using on = await open(configs.on, { engines, classifiers });
  await using off = await open(configs.off, { engines, classifiers });
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

async function open(config: Config, models: Models): Promise<AsyncDisposable & { client: ApiClient }> {
  const appliance = await startAppliance(config, models, await testEgress(), new Events("silent"));
  const client = new ApiClient(appliance.url, join(config.dataDir, "certs"), "app");
  return {
    client,
    async [Symbol.asyncDispose]() {
      client.close();
      await appliance[Symbol.asyncDispose]();
    },
  };
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
