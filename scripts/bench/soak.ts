import { join } from "node:path";
import { type Caller, type Load, secrets, soak, Traffic } from "../../bench/soak.ts";
import { type Left, reportOf, type Sample } from "../../bench/soak-report.ts";
import { issueClient } from "../../certs/authority.ts";
import { AuditReader } from "../../server/audit/read.ts";
import { readConfig } from "../../server/config.ts";
import { ApiClient } from "../api-client.ts";
import { UsageError } from "../command.ts";
import { setUp } from "../commands/setup.ts";
import { numberFrom, wholeFrom } from "../option-number.ts";
import { step } from "../progress.ts";
import type { Bench, Measurement } from "./benchmark.ts";
import { memoryOf, startOwnService } from "./own-service.ts";

interface Options {
  readonly minutes?: string | undefined;
  readonly requests?: string | undefined;
}

/** `bench soak`: the service as a process of its own, eight identities that call and leave, and what is left of it. */
export async function benchSoak({ minutes, requests }: Options, { stop, scratch }: Bench): Promise<Measurement> {
  if (minutes !== undefined && requests !== undefined) throw new UsageError("Give --minutes or --requests, one of them.");
  const forMs = 60_000 * numberFrom("--minutes", minutes ?? "30", 0.01, 1_000_000);
  const count = requests === undefined ? undefined : wholeFrom("--requests", requests, 1);
  const config = { ...readConfig(), dataDir: scratch };
  await setUp(config, stop);
  const certsDir = join(scratch, "certs");
  for (const secret of secrets) issueClient(certsDir, secret, "app");
  await using service = await step("Starting the service", () => startOwnService(scratch, stop));
  using clients = new DisposableStack();
  const clientOf = (name: string): ApiClient => clients.adopt(ApiClient.installed(service.url, certsDir, name), (client) => client.close());
  const callers: Caller[] = secrets.map((secret) => ({ client: clientOf(secret), secret }));
  const operator = clientOf("operator");
  const traffic = new Traffic();
  const samples: Sample[] = [];
  const startedMs = performance.now();
  const load: Load =
    count === undefined
      ? { tokensMax: 192, sentencesMax: 60, enough: () => performance.now() - startedMs >= forMs }
      : { tokensMax: 24, sentencesMax: 6, enough: (sent) => sent >= count };
  await step("Calling", async (progress) => {
    const sampling = setInterval(() => {
      samples.push({ atMs: performance.now(), ...memoryOf(service.pid) });
      progress(`${traffic.sent} calls, ${traffic.crossings.length} crossings`);
    }, 250);
    await soak(callers, load, traffic, stop).finally(() => clearInterval(sampling));
  });
  const endedMs = performance.now();
  const left = await step("Waiting until all is quiet", () => leftOf(operator, scratch, stop));
  const report = reportOf(traffic, samples, left, startedMs, endedMs);
  const { models, engine } = config;
  const command = `npx sallyport bench soak${count === undefined ? "" : " --requests"}`;
  const plan = { streams: callers.length, minutes: count === undefined ? forMs / 60_000 : undefined, requests: count };
  return {
    report: { command, model: models[0]?.id, engine, plan, ...report },
    table: table(report),
    failures: report.failures,
  };
}

/** Asks until nothing is held and everything is settled, ten seconds at most. */
async function leftOf(operator: ApiClient, dataDir: string, signal: AbortSignal): Promise<Left> {
  for (let times = 0; ; times += 1) {
    const metrics = await operator.text("/metrics", signal);
    const held = [...metrics.matchAll(/^sallyport_calls\{.*\} (\d+)$/gmu)].map(([, count]) => Number(count));
    const left = { places: held.reduce((sum, one) => sum + one, 0), ...recorded(dataDir) };
    if ((left.places === 0 && left.received === left.settled) || times === 20) return left;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

function recorded(dataDir: string): { received: number; settled: number } {
  using reader = new AuditReader(dataDir);
  const counts = { received: 0, settled: 0 };
  for (const { kind } of reader.entries()) if (kind === "received" || kind === "settled") counts[kind] += 1;
  return counts;
}

function table({ minutes, sent, answered, disconnected, refusals, ...report }: ReturnType<typeof reportOf>): string {
  const { service, engine } = report.memory;
  const line = (cells: readonly (string | number)[]): string => cells.map((cell) => String(cell).padStart(14)).join("");
  const grown = ({ warmMb, endMb, growth }: typeof service): string =>
    `${warmMb} MB warm, ${endMb} MB at the end (${Math.round(growth * 1000) / 10} %)`;
  return [
    line(["minute", "service MB", "engine MB", "gap p50 ms", "gap p99 ms"]),
    ...report.perMinute.map((one, index) => line([index + 1, one.serviceMb, one.engineMb, one.p50, one.p99])),
    "",
    `calls      ${sent} in ${minutes} minutes: ${answered} answered, ${disconnected} left, refused ${JSON.stringify(refusals)}`,
    `log        ${report.received} received, ${report.settled} settled`,
    `places     ${report.placesLeft} held when all was quiet`,
    `secrets    ${report.own} answers with the caller's own, ${report.crossings} with another's`,
    `gap        p50 ${report.gapMs.p50} ms, p99 ${report.gapMs.p99} ms between two pieces of an answer`,
    `memory     service ${grown(service)}, engine ${grown(engine)}${report.memoryJudged ? "" : "; judged from 10 minutes on"}`,
  ].join("\n");
}
