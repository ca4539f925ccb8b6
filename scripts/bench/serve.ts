import { basename } from "node:path";
import { measureRound, type Round, type Summary, summarise } from "../../bench/answer.ts";
import { median, rounded } from "../../bench/statistics.ts";
import { measureUnderLoad, type UnderLoad } from "../../bench/under-load.ts";
import { readConfig } from "../../server/config.ts";
import { ApiClient } from "../api-client.ts";
import { UsageError } from "../command.ts";
import { setUp } from "../commands/setup.ts";
import { openConfiguredClassifiers, openEngines } from "../engines.ts";
import { readPem } from "../key-pair.ts";
import { step } from "../progress.ts";
import { benchConfig, openBenchAppliance } from "./appliance.ts";
import type { Bench, Measurement } from "./benchmark.ts";

interface Options {
  readonly against?: string | undefined;
  readonly model?: string | undefined;
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly quick?: boolean | undefined;
}

type Whose = "ours" | "theirs";
interface Measured {
  readonly rounds: (Round & { readonly whose: Whose })[];
  readonly underLoad: (UnderLoad & { readonly whose: Whose })[];
}

const quickPlan = { streams: [1, 4], rounds: 1, tokensMax: 16, prompts: 1, promptTokens: 300 };
const wholePlan = { streams: [1, 2, 4, 8], rounds: 3, tokensMax: 96, prompts: 3, promptTokens: 2_000 };

/** `bench serve`: this service and another server in turns, and the ratios. */
export async function benchServe(options: Options, { stop, scratch }: Bench): Promise<Measurement> {
  const plan = options.quick ? quickPlan : wholePlan;
  using closing = new DisposableStack();
  const theirs = closing.adopt(otherClient(options), (client) => client.close());
  const theirModel = options.model ?? (await firstModelOf(theirs, stop));
  const config = benchConfig(readConfig(), scratch, "off");
  await setUp(config, stop);
  await using classifiers = await openConfiguredClassifiers(config);
  await using loaded = new AsyncDisposableStack();
  const engines = await step("Loading the models", () => openEngines(config, stop));
  for (const one of engines) loaded.use(one);
  await using ours = await openBenchAppliance(config, { engines, classifiers });
  const both = { ours: { client: ours.client, model: config.models[0]?.id }, theirs: { client: theirs, model: theirModel } };
  const measured: Measured = { rounds: [], underLoad: [] };
  await step("Measuring", async (progress) => {
    for (const { client, model } of Object.values(both)) await measureRound(client, 1, 8, stop, model);
    for (let round = 0; round < plan.rounds; round += 1) {
      const order: readonly Whose[] = round % 2 === 0 ? ["ours", "theirs"] : ["theirs", "ours"];
      for (const streams of plan.streams) {
        for (const whose of order) {
          progress(`round ${round + 1} of ${plan.rounds}, ${streams} streams, ${whose}`);
          const { client, model } = both[whose];
          measured.rounds.push({ ...(await measureRound(client, streams, plan.tokensMax, stop, model)), whose });
        }
      }
      for (const whose of order) {
        progress(`round ${round + 1} of ${plan.rounds}, long prompts, ${whose}`);
        const { client, model } = both[whose];
        const asked = { prompts: plan.prompts, tokens: plan.promptTokens, model };
        measured.underLoad.push({ ...(await measureUnderLoad(client, asked, stop)), whose });
      }
    }
  });
  const summary = summaryOf(plan.streams, measured);
  const report = {
    model: both.ours.model,
    theirModel: basename(theirModel), // llama-server names a file, with its path
    engine: config.engine,
    plan,
    ...summary,
    ...measured,
  };
  return { report, table: table(summary) };
}

function otherClient({ against, ca, cert, key }: Options): ApiClient {
  if (against === undefined) throw new UsageError("`bench serve` needs --against URL: the server to measure beside this one.");
  if (!/^https?:\/\/[^/]+\/?$/u.test(against))
    throw new UsageError(`--against ${against} is no base URL: http://HOST:PORT or https://HOST:PORT.`);
  if ((cert === undefined) !== (key === undefined)) throw new UsageError("--cert and --key go together.");
  const read = (file: string): string => readPem(file, "Name a PEM file that can be read.");
  return new ApiClient(
    { url: against.replace(/\/$/u, ""), caFile: ca ?? "the system's store", name: cert ?? "nobody" },
    {
      ...(ca === undefined ? {} : { ca: read(ca) }),
      ...(cert === undefined ? {} : { cert: read(cert) }),
      ...(key === undefined ? {} : { key: read(key) }),
    },
  );
}

async function firstModelOf(client: ApiClient, signal: AbortSignal): Promise<string> {
  const { body } = await client.json("GET", "/v1/models", undefined, signal);
  const id = (body as { data?: { id?: string }[] }).data?.[0]?.id; // OpenAI's shape
  if (id === undefined) throw new Error("The other server lists no model at /v1/models: name one with --model.");
  return id;
}

interface Row extends Record<Whose, Summary> {
  readonly streams: number;
  /** Our tokens a second, by theirs. */
  readonly ratio: number;
}

type Load = Record<Whose, { readonly p50: number; readonly p99: number; readonly prefillMs: number; readonly promptTokens: number }>;

function summaryOf(streamCounts: readonly number[], { rounds, underLoad }: Measured): { summary: Row[]; load: Load } {
  const of = (whose: Whose, streams: number): Summary => summarise(rounds.filter((one) => one.whose === whose && one.streams === streams));
  const summary = streamCounts.map((streams): Row => {
    const [ours, theirs] = [of("ours", streams), of("theirs", streams)];
    return { streams, ours, theirs, ratio: rounded(ours.tokensPerSecond / theirs.tokensPerSecond) };
  });
  const loadOf = (whose: Whose): Load[Whose] => {
    const own = underLoad.filter((one) => one.whose === whose);
    return {
      p50: median(own.map(({ gapMs }) => gapMs.p50)),
      p99: median(own.map(({ gapMs }) => gapMs.p99)),
      prefillMs: median(own.map(({ prefillMs }) => prefillMs)),
      promptTokens: median(own.map(({ promptTokens }) => promptTokens)),
    };
  };
  return { summary, load: { ours: loadOf("ours"), theirs: loadOf("theirs") } };
}

function table({ summary, load: { ours, theirs } }: ReturnType<typeof summaryOf>): string {
  const line = (cells: readonly (string | number)[]): string => cells.map((cell) => String(cell).padStart(15)).join("");
  return [
    line(["streams", "ours tokens/s", "theirs", "ratio", "ours TTFT ms", "theirs"]),
    ...summary.map((one) =>
      line([one.streams, one.ours.tokensPerSecond, one.theirs.tokensPerSecond, one.ratio, one.ours.ttftMs, one.theirs.ttftMs]),
    ),
    "",
    `two answers while prompts of ${ours.promptTokens} tokens arrive`,
    line(["", "gap p50 ms", "gap p99 ms", "prefill ms"]),
    line(["ours", ours.p50, ours.p99, ours.prefillMs]),
    line(["theirs", theirs.p50, theirs.p99, theirs.prefillMs]),
    line(["ratio", ...(["p50", "p99", "prefillMs"] as const).map((key) => rounded(ours[key] / theirs[key]))]),
  ].join("\n");
}
