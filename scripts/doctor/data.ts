import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { readAuditKeys, secretPath } from "../../server/audit/keys.ts";
import { verifyAuditLog } from "../../server/audit/verify.ts";
import { CommandError } from "../command.ts";
import { shellWord } from "../shell-word.ts";
import type { Check } from "./check.ts";

export function keys(dataDir: string): Check {
  readAuditKeys(dataDir);
  for (const file of [secretPath(dataDir), join(dataDir, "certs", "ca.key.pem"), join(dataDir, "certs", "server", "key.pem")])
    refuseOpenKey(file);
  return { name: "keys", state: "ok", detail: `${secretPath(dataDir)}, for its owner only` };
}

/** Throws when a private key can be read by others than its owner. */
export function refuseOpenKey(file: string): void {
  if (existsSync(file) && (statSync(file).mode & 0o077) !== 0)
    throw new CommandError(`${file} can be read by other users: chmod 600 ${shellWord(file)}`);
}

export function auditLog(dataDir: string): Check {
  const name = "audit log";
  const [database, head] = [join(dataDir, "audit.db"), join(dataDir, "audit.head")];
  if (!existsSync(database)) {
    if (!existsSync(head)) return { name, state: "ok", detail: "none yet" };
    throw new CommandError(`${database} is gone, and ${head} says that there was one: restore both from one backup`);
  }
  const { problems, entries } = verifyAuditLog(dataDir);
  if (problems.length > 0) throw new CommandError(`${problems.length} problems; see \`npx sallyport audit verify\``);
  return { name, state: "ok", detail: `whole, ${entries} entries` };
}
