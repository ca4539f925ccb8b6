import { join } from "node:path";
import { type Config, readConfig } from "../../server/config.ts";
import { readPolicies } from "../../server/policy/policy.ts";
import { sentenceOf } from "../failure.ts";
import { certificates } from "./certificates.ts";
import { type Check, type Diagnosis, examined } from "./check.ts";
import { classifiers } from "./classifiers.ts";
import { auditLog, batches, clock, keys, modes } from "./data.ts";
import { egress } from "./egress.ts";
import { files } from "./files.ts";
import { gpu } from "./gpu.ts";
import { disk, memory, runtime } from "./host.ts";
import { cgroup, cpu, ulimits } from "./limits.ts";
import { models } from "./models.ts";

/** Everything that `doctor` looks at. */
export async function examine(): Promise<Check[]> {
  const host = [
    ...(await examined("runtime", runtime)),
    ...(await examined("cpu", cpu)),
    ...(await examined("ulimits", ulimits)),
    ...(await examined("cgroup", cgroup)),
    ...(await examined("egress", egress)),
    ...(await examined("files", files)),
  ];
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
    ...(await examined("policy", () => policies(policy))),
    ...(await models(config)),
    ...(await examined("gpu", () => gpu(config))),
    ...(await examined("classifiers", () => classifiers(config))),
    ...(await examined("memory", () => memory(config))),
    ...(await examined("disk", () => disk(dataDir))),
    ...(await examined("clock", () => clock(dataDir))),
    ...(await examined("file modes", () => modes(dataDir))),
    ...(await certificates(join(dataDir, "certs"), tls.names)),
    ...(await examined("keys", () => keys(dataDir))),
    ...(await examined("audit log", () => auditLog(dataDir))),
    ...(await examined("batches", () => batches(dataDir))),
  ];
}

function policies(path: string): Diagnosis {
  const { main, named } = readPolicies(path);
  return { state: "ok", detail: [`${main.name}, ${path}`, ...named.map(({ file }) => file)].join(", ") };
}
