import { accessSync, constants, existsSync, statfsSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { dirname } from "node:path";
import { readGgufHead } from "../../models/gguf-head.ts";
import { needOf, totalOf } from "../../models/memory.ts";
import type { Config } from "../../server/config.ts";
import { llamaSettings } from "../engines.ts";
import type { Diagnosis } from "./check.ts";

const gibibyte = 2 ** 30;
const diskFreeMin = gibibyte;

export function runtime(): Diagnosis {
  const { node, openssl } = process.versions;
  const detail = `Node ${node}, OpenSSL ${openssl}, ${process.platform}-${process.arch}, ${availableParallelism()} cores`;
  return { state: "ok", detail };
}

/** What the configured models take while they are loaded, beside the service. Files that are missing are not its business. */
export function memory(config: Config): Diagnosis {
  const { memory_bytes_max: bound } = config.engine;
  const has = Math.min(totalmem(), process.constrainedMemory() || totalmem());
  const room = bound === "auto" ? has - gibibyte : bound;
  const llama = config.models.filter((model) => model.engine === undefined).map(({ id }) => llamaSettings(id, config));
  const needs = llama.filter(({ file }) => existsSync(file)).map((settings) => totalOf(needOf(settings, readGgufHead(settings.file))));
  const [all, largest] = [needs.reduce((sum, need) => sum + need, 0), Math.max(0, ...needs)];
  const found = `${gib(has)} GiB here, ${bound === "auto" ? "" : `engine.memory_bytes_max is ${gib(bound)} GiB, `}about ${gib(all)} GiB wanted for all configured models`;
  if (largest > room)
    return {
      state: bound === "auto" ? "warn" : "fail",
      detail: `${found}, ${gib(largest)} GiB for the largest: lower engine.parallel or engine.context_tokens, take a smaller model, or give it more`,
    };
  if (bound !== "auto" && bound > has - gibibyte)
    return { state: "warn", detail: `${found}: models may take what the service needs itself, lower engine.memory_bytes_max` };
  return { state: "ok", detail: all > room ? `${found}: the one called longest ago is unloaded for another` : found };
}

export function disk(dataDir: string): Diagnosis {
  let dir = dataDir;
  while (!existsSync(dir)) dir = dirname(dir);
  try {
    accessSync(dir, constants.W_OK);
  } catch {
    return { state: "fail", detail: `${dir} can't be written by this user: change its owner, or set SALLYPORT_DATA` };
  }
  const { bavail, bsize } = statfsSync(dir);
  const free = bavail * bsize;
  return free < diskFreeMin
    ? { state: "warn", detail: `${gib(free)} GiB free at ${dir}: the audit log grows, and without room nothing is answered` }
    : { state: "ok", detail: `${gib(free)} GiB free at ${dir}` };
}

function gib(bytes: number): string {
  return (bytes / gibibyte).toFixed(1);
}
