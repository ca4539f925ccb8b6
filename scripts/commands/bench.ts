import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { measureRound, type Round, type Summary, summarise } from "../../bench/answer.ts";
import { rounded } from "../../bench/statistics.ts";
import { type Config, readConfig } from "../../server/config.ts";
import { adversarialFile, benchAdversarial } from "../bench-adversarial.ts";
import { benchConfig, openBenchAppliance } from "../bench-appliance.ts";
import { benchClassifiers, classifiersFile } from "../bench-classifiers.ts";
import { benchHostile } from "../bench-hostile.ts";
import { benchServe } from "../bench-serve.ts";
import { benchSoak } from "../bench-soak.ts";
import { type Command, refuseOthers, UsageError } from "../command.ts";
import { openConfiguredClassifiers, openEngines } from "../engines.ts";
import { host } from "../host.ts";
import { step } from "../progress.ts";
import { Stopped, stopSignal } from "../stop-signal.ts";
import { setUp } from "./setup.ts";

const resultsFile = fileURLToPath(new URL("../../bench/results/answer.json", import.meta.url));
export const bench: Command = {
  usage: `Usage: npx sallyport bench [classifiers|adversarial] [--quick] [--out FILE]
       npx sallyport bench serve --against URL [--model NAME] [--ca FILE] [--cert FILE --key FILE] [--quick] [--out FILE]
       npx sallyport bench hostile [--quick] [--out FILE]
       npx sallyport bench soak [--minutes N | --requests N] [--out FILE]

Starts the appliance twice on ports of its own, once with the configured policy and once with every guard off, both on one
loaded model, and calls them in turns over mutual TLS. Reports medians: time to first token (TTFT), time between tokens,
tokens a second of all streams, and the 99th percentile of /healthz meanwhile. Needs no running service, and touches no
data of one; on a busy machine the numbers mean little.

\`bench classifiers\` measures the classifiers alone: milliseconds a text through all three and through each, texts a second, by
length of text, with the language model idle and decoding; and the peak of memory.

\`bench adversarial\` takes attacks, and harmless twins of them, plain and in nine disguises, and reports how many of each the classifier of
injection flags, as they stand and with the disguise taken off.

\`bench serve\` measures this service, guards off, and any other OpenAI-compatible server in turns, with prompts of the same make: tokens a second
at 1, 2, 4 and 8 streams, and the time between pieces of two running answers while prompts of 2,000 tokens keep arriving.

\`bench soak\` runs the service as a process of its own, with eight identities that call side by side, each with a secret in its prompts and all with
common beginnings; prompts and answers are of any length, and a quarter of the callers leaves at a random moment. Exit status 1 when an answer held
another identity's secret, a place in the engine stayed held, a call was not settled in the log, or service or engine grew by more than 5 % once warm.

\`bench hostile\` runs the service as a process of its own, all guards of its policy on. Two answers of one identity run while another identity sends
what is made to be slow to judge: long lines, control characters, JSON of many nodes, encodings in encodings, texts that patterns trip over, forged
placeholders, many messages. By family, in turns with quiet: answers by status and code, the slowest of them, the time between pieces of the two
answers with and without, and by how much the service grew. Exit status 1 when an answer took longer than 2 seconds or the 99th percentile of that
time is more than 3 times as long: on a busy machine only the ratio means something.

  --minutes N  how long. Default: 30. Memory is judged from 10 minutes on
  --requests N so many calls instead, with short prompts and answers: many chances for a secret to cross
  --quick      one short round: less than a minute with the default model
  --out FILE   where the JSON goes. Default: bench/results/answer.json, classifiers.json, adversarial.json, serve.json, hostile.json or soak.json
  --against    base URL of the other server, without /v1; --ca is the CA of its certificate, --cert and --key are what it asks of clients
  --model      what it calls its model. Default: the first that it lists`,

  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        quick: { type: "boolean", default: false },
        out: { type: "string" },
        against: { type: "string" },
        model: { type: "string" },
        ca: { type: "string" },
        cert: { type: "string" },
        key: { type: "string" },
        minutes: { type: "string" },
        requests: { type: "string" },
      },
    });
    const [what] = positionals;
    if (positionals.length > 1 || !(what === undefined || ["classifiers", "adversarial", "serve", "hostile", "soak"].includes(what)))
      throw new UsageError(`There is no \`bench ${positionals.join(" ")}\`.`);
    if (what === "soak") {
      const { quick, ...others } = values;
      refuseOthers("bench soak", { ...others, ...(quick ? { quick } : {}) }, ["minutes", "requests", "out"]);
      return await benchSoak(values);
    }
    if (what === "serve") {
      const { minutes, requests, ...others } = values;
      refuseOthers("bench serve", values, Object.keys(others));
      await benchServe(values);
      return 0;
    }
    refuseOthers("bench", values, ["quick", "out"]);
    if (what === "hostile") return await benchHostile(values);
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
