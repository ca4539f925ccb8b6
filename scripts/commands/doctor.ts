import { accessSync, constants, existsSync, statfsSync, statSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { listIssued } from "../../certs/authority.ts";
import { readTlsMaterial } from "../../certs/tls-material.ts";
import { entryOf, readCatalogue } from "../../models/catalogue.ts";
import { verifyFile } from "../../models/verify-file.ts";
import { readAuditKeys, secretPath } from "../../server/audit/keys.ts";
import { verifyAuditLog } from "../../server/audit/verify.ts";
import { type Config, readConfig } from "../../server/config.ts";
import { readPolicy } from "../../server/policy/policy.ts";
import type { Command } from "../command.ts";
import { step } from "../progress.ts";

/** `warn` does not keep the service from running. */
interface Check {
  readonly name: string;
  readonly state: "ok" | "warn" | "fail";
  /** What was found, and what to do unless it is ok. */
  readonly detail: string;
}

const gibibyte = 2 ** 30;
const diskFreeMin = gibibyte;

export const doctor: Command = {
  summary: "check this host and this installation",
  usage: `Usage: npx sallyport doctor [--json]

Looks at the runtime, memory, disk, configuration, policy, model files (SHA-256), certificates, keys and the audit log.
Each line says what to do. Changes nothing, needs no running service; exit status 1 when something keeps it from running.`,

  async run(args) {
    const { values } = parseArgs({ args, options: { json: { type: "boolean", default: false } } });
    const checks = await step("Checking", () => examine());
    if (values.json) console.log(JSON.stringify({ fit: checks.every((one) => one.state !== "fail"), checks }));
    else for (const { name, state, detail } of checks) console.log(`${state.padEnd(5)} ${name.padEnd(14)} ${detail}`);
    return checks.some((one) => one.state === "fail") ? 1 : 0;
  },
};

async function examine(): Promise<Check[]> {
  const checks = [check("runtime", runtime)];
  let config: Config;
  try {
    config = readConfig();
    checks.push({ name: "configuration", state: "ok", detail: config.source ?? "all defaults" });
  } catch (error) {
    return [...checks, { name: "configuration", state: "fail", detail: (error as Error).message }];
  }
  const { dataDir } = config;
  checks.push(
    check("policy", () => `${readPolicy(config.policy).name}, ${config.policy}`),
    ...(await models(config)),
    memory(config),
    disk(dataDir),
    ...certificates(join(dataDir, "certs")),
    check("keys", () => keys(dataDir)),
    check("audit log", () => auditLog(dataDir)),
  );
  return checks;
}

/** `look` returns what it found, or throws with what to do. */
function check(name: string, look: () => string): Check {
  try {
    return { name, state: "ok", detail: look() };
  } catch (error) {
    return { name, state: "fail", detail: (error as Error).message };
  }
}

function runtime(): string {
  return `Node ${process.versions.node}, OpenSSL ${process.versions.openssl}, ${process.platform}-${process.arch}, ${availableParallelism()} cores`;
}

async function models(config: Config): Promise<Check[]> {
  const checks: Check[] = [];
  for (const model of config.models) {
    const name = "model";
    if ("engine" in model) {
      checks.push({ name, state: "ok", detail: `${model.id}: the echo engine, for drills` });
      continue;
    }
    try {
      const entry = entryOf(readCatalogue(config.modelsDir), model.id);
      await verifyFile(join(config.modelsDir, entry.file), entry);
      checks.push({ name, state: "ok", detail: `${entry.id}: ${entry.file}, SHA-256 as the catalogue says` });
    } catch (error) {
      checks.push({ name, state: "fail", detail: (error as Error).message });
    }
  }
  return checks;
}

/** A model's weights are mapped whole; contexts and the service come on top. */
function memory({ models: wanted, modelsDir }: Config): Check {
  const weights = wanted.flatMap((model) => ("engine" in model ? [] : readCatalogue(modelsDir).filter((one) => one.id === model.id)));
  const needed = weights.reduce((sum, one) => sum + one.bytes, 0) * 1.5 + gibibyte;
  const has = Math.min(totalmem(), process.constrainedMemory() || totalmem());
  const detail = `${gib(has)} GiB here, about ${gib(needed)} GiB wanted for the configured models`;
  return {
    name: "memory",
    state: has < needed ? "warn" : "ok",
    detail: has < needed ? `${detail}: take a smaller model, or give it more` : detail,
  };
}

function disk(dataDir: string): Check {
  let dir = dataDir;
  while (!existsSync(dir)) dir = dirname(dir);
  try {
    accessSync(dir, constants.W_OK);
  } catch {
    return { name: "disk", state: "fail", detail: `${dir} can't be written by this user: change its owner, or set SALLYPORT_DATA` };
  }
  const { bavail, bsize } = statfsSync(dir);
  const free = bavail * bsize;
  return free < diskFreeMin
    ? { name: "disk", state: "warn", detail: `${gib(free)} GiB free at ${dir}: the audit log grows, and without room nothing is answered` }
    : { name: "disk", state: "ok", detail: `${gib(free)} GiB free at ${dir}` };
}

function certificates(dir: string): Check[] {
  const fits = check("certificates", () => {
    readTlsMaterial(dir);
    return dir;
  });
  if (fits.state === "fail") return [fits];
  const current = listIssued(dir).filter((one) => one.status === "valid");
  return [
    fits,
    ...current.map(({ kind, name, notAfter, renewAt }): Check => {
      const due = renewAt.getTime() < Date.now();
      const how = kind === "server" ? "npx sallyport certs rotate" : `npx sallyport certs issue ${name}`;
      const detail = `${kind} ${name}, until ${notAfter.toISOString().slice(0, 10)}${due ? `; in its last third: ${how}` : ""}`;
      return { name: "certificate", state: due ? "warn" : "ok", detail };
    }),
  ];
}

function keys(dataDir: string): string {
  readAuditKeys(dataDir);
  const files = [secretPath(dataDir), join(dataDir, "certs", "ca.key.pem"), join(dataDir, "certs", "server", "key.pem")];
  const open = files.find((file) => existsSync(file) && (statSync(file).mode & 0o077) !== 0);
  if (open !== undefined) throw new Error(`${open} can be read by other users: chmod 600 ${open}`);
  return `${secretPath(dataDir)}, for its owner only`;
}

function auditLog(dataDir: string): string {
  if (!existsSync(join(dataDir, "audit.db"))) return "none yet";
  const { problems, entries } = verifyAuditLog(dataDir);
  if (problems.length > 0) throw new Error(`${problems.length} problems; see \`npx sallyport audit verify\``);
  return `whole, ${entries} entries`;
}

function gib(bytes: number): string {
  return (bytes / gibibyte).toFixed(1);
}
