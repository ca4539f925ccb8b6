import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Config, readConfig } from "../../server/config.ts";
import { readPolicy } from "../../server/policy/policy.ts";
import type { Command } from "../command.ts";
import { certificates } from "../doctor/certificates.ts";
import { type Check, examined } from "../doctor/check.ts";
import { classifiers } from "../doctor/classifiers.ts";
import { auditLog, keys } from "../doctor/data.ts";
import { egress } from "../doctor/egress.ts";
import { disk, memory, runtime } from "../doctor/host.ts";
import { models } from "../doctor/models.ts";
import { sentenceOf } from "../failure.ts";
import { step } from "../progress.ts";

export const doctor: Command = {
  summary: "check this host and this installation",
  usage: `Usage: npx sallyport doctor [--json]

Looks at the runtime, egress (a route that leads out is a warning; it tries two addresses that are nobody's, a name, and looks for a proxy), memory, disk,
configuration, policy, model files (SHA-256), classifiers (self-test), certificates and keys, and the audit log. Each line says what to do.
Changes nothing, needs no running service; exit status 1 when something is broken or keeps it from running.`,

  async run(args) {
    const { values } = parseArgs({ args, options: { json: { type: "boolean", default: false } } });
    const checks = await step("Checking", () => examine());
    if (values.json) console.log(JSON.stringify({ fit: checks.every((one) => one.state !== "fail"), checks }));
    else for (const { name, state, detail } of checks) console.log(`${state.padEnd(5)} ${name.padEnd(14)} ${detail}`);
    return checks.some((one) => one.state === "fail") ? 1 : 0;
  },
};

async function examine(): Promise<Check[]> {
  const host = [...(await examined("runtime", runtime)), ...(await examined("egress", egress))];
  let config: Config;
  try {
    config = readConfig();
  } catch (error) {
    return [...host, { name: "configuration", state: "fail", detail: sentenceOf(error) ?? String(error) }];
  }
  const { dataDir, tls, source, policy } = config;
  return [
    ...host,
    { name: "configuration", state: "ok", detail: source ?? "all defaults" },
    ...(await examined("policy", () => ({ name: "policy", state: "ok", detail: `${readPolicy(policy).name}, ${policy}` }))),
    ...(await models(config)),
    ...(await examined("classifiers", () => classifiers(config))),
    ...(await examined("memory", () => memory(config))),
    ...(await examined("disk", () => disk(dataDir))),
    ...(await certificates(join(dataDir, "certs"), tls.names)),
    ...(await examined("keys", () => keys(dataDir))),
    ...(await examined("audit log", () => auditLog(dataDir))),
  ];
}
