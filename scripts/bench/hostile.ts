import { join } from "node:path";
import { failuresOf, type HostileSummary, measureHostile, type Plan, summariseHostile } from "../../bench/hostile.ts";
import { families } from "../../bench/hostile-inputs.ts";
import { issueClient } from "../../certs/authority.ts";
import { readConfig } from "../../server/config.ts";
import { readPolicy } from "../../server/policy/policy.ts";
import { ApiClient } from "../api-client.ts";
import { setUp } from "../commands/setup.ts";
import { step } from "../progress.ts";
import type { Bench, Measurement } from "./benchmark.ts";
import { memoryOf, startOwnService } from "./own-service.ts";

/** `bench hostile`: two answers while another identity attacks the guards. */
export async function benchHostile(
  { quick = false }: { readonly quick?: boolean | undefined },
  { stop, scratch }: Bench,
): Promise<Measurement> {
  const plan: Plan = { rounds: quick ? 1 : 3, windowMs: quick ? 1_000 : 10_000, families };
  const config = { ...readConfig(), dataDir: scratch };
  await setUp(config, stop);
  const certsDir = join(scratch, "certs");
  issueClient(certsDir, "attacker", "app");
  await using service = await step("Starting the service", () => startOwnService(scratch, stop));
  using clients = new DisposableStack();
  const clientOf = (name: string): ApiClient => clients.adopt(ApiClient.installed(service.url, certsDir, name), (client) => client.close());
  const { models, engine, limits } = config;
  const rounds = await step("Attacking", (progress) =>
    measureHostile(
      plan,
      {
        listener: clientOf("app"),
        attacker: clientOf("attacker"),
        limits: {
          tokensMax: readPolicy(config.policy).input.tokens_max,
          bodyBytesMax: limits.body_bytes_max,
          messagesMax: limits.messages_max,
        },
        resident: () => memoryOf(service.pid).service,
        progress,
      },
      stop,
    ),
  );
  const summary = summariseHostile(rounds);
  const failures = failuresOf(summary);
  return { report: { model: models[0]?.id, engine, plan, summary, failures, rounds }, table: table(summary), failures };
}

function table(summary: readonly HostileSummary[]): string {
  const line = (cells: readonly (string | number)[]): string =>
    cells.map((cell, index) => (index === 0 ? String(cell).padEnd(20) : String(cell).padStart(11))).join("");
  return [
    line(["", "slowest ms", "p50 quiet", "attacked", "p99 quiet", "attacked", "p99 ratio", "grown MB"]),
    ...summary.flatMap(({ family, slowestMs, quiet, attacked, ratio, residentGrowthMb, answers }) => [
      line([family, slowestMs, quiet.p50, attacked.p50, quiet.p99, attacked.p99, ratio.p99, residentGrowthMb]),
      `  ${Object.entries(answers)
        .map(([said, count]) => `${count} × ${said}`)
        .join(", ")}`,
    ]),
  ].join("\n");
}
