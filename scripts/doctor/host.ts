import { accessSync, constants, existsSync, statfsSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { dirname } from "node:path";
import { readCatalogue } from "../../models/catalogue.ts";
import type { Config } from "../../server/config.ts";
import type { Check } from "./check.ts";

const gibibyte = 2 ** 30;
const diskFreeMin = gibibyte;

export function runtime(): Check {
  const { node, openssl } = process.versions;
  const detail = `Node ${node}, OpenSSL ${openssl}, ${process.platform}-${process.arch}, ${availableParallelism()} cores`;
  return { name: "runtime", state: "ok", detail };
}

/** A model's weights are mapped whole; contexts and the service come on top. */
export function memory({ models, modelsDir }: Config): Check {
  const ids = models.filter((model) => model.engine === undefined).map((model) => model.id);
  const wanted = ids.length === 0 ? [] : readCatalogue(modelsDir).filter((entry) => ids.includes(entry.id));
  const needed = wanted.reduce((sum, { bytes }) => sum + bytes, 0) * 1.5 + gibibyte;
  const has = Math.min(totalmem(), process.constrainedMemory() || totalmem());
  const found = `${gib(has)} GiB here, about ${gib(needed)} GiB wanted for the configured models`;
  return has < needed
    ? { name: "memory", state: "warn", detail: `${found}: take a smaller model, or give it more` }
    : { name: "memory", state: "ok", detail: found };
}

export function disk(dataDir: string): Check {
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

function gib(bytes: number): string {
  return (bytes / gibibyte).toFixed(1);
}
