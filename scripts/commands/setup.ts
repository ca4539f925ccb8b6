import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { parseArgs } from "node:util";
import { initAuthority, issueClient } from "../../certs/authority.ts";
import type { Role } from "../../certs/identity.ts";
import { entryOf, readCatalogue } from "../../models/catalogue.ts";
import { createAuditSecret } from "../../server/audit/keys.ts";
import { refuseHalfRestored } from "../../server/audit/lock.ts";
import { type Config, readConfig } from "../../server/config.ts";
import type { Command } from "../command.ts";
import { stopSignal } from "../stop-signal.ts";
import { fetchModel } from "./models.ts";

const firstClients: readonly Role[] = ["app", "operator", "auditor"];

export const setup: Command = {
  usage: `Usage: npx sallyport setup

Fetches the models that sallyport.yaml names, makes the CA, the server's certificate, client certificates app, operator and
auditor, and the key of the audit log. What is there already is left as it is, but for a server certificate in the last
third of its life, which is replaced. May be interrupted and run again at any time.`,

  async run(args) {
    parseArgs({ args, options: {} });
    const config = readConfig();
    await setUp(config, stopSignal());
    console.log(`Everything is in place: models in ${config.modelsDir}, keys and certificates in ${config.dataDir}.`);
    return 0;
  },
};

/** Does what is missing, and says what it does. */
export async function setUp(config: Config, signal: AbortSignal): Promise<void> {
  refuseHalfRestored(config.dataDir);
  await fetchModels(config, signal);
  createAuditSecret(config.dataDir);
  await prepareCertificates(join(config.dataDir, "certs"), config.tls.names, signal);
}

/** Looks at sizes only: the SHA-256 is checked at every load. */
export async function fetchModels({ models, modelsDir }: Config, signal: AbortSignal): Promise<void> {
  const wanted = models.filter((model) => model.engine === undefined);
  if (wanted.length === 0) return;
  const catalogue = readCatalogue(modelsDir);
  for (const { id } of wanted) {
    const { file, bytes } = entryOf(catalogue, id);
    const path = join(modelsDir, file);
    if (!existsSync(path) || statSync(path).size !== bytes) await fetchModel(id, modelsDir, signal);
  }
}

async function prepareCertificates(dir: string, names: readonly string[], signal: AbortSignal): Promise<void> {
  const made = initAuthority(dir, names);
  if (made.length > 0) console.error(`Certificates: made ${made.join(", ")} in ${dir}`);
  for (const name of firstClients) {
    await turn(); // a stop is heard between two of them
    signal.throwIfAborted();
    if (existsSync(join(dir, "clients", name, "cert.pem"))) continue;
    issueClient(dir, name, name);
    console.error(`Certificates: issued ${name}`);
  }
}
