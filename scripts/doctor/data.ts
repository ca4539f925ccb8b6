import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { authorities } from "../../certs/authorities.ts";
import { isThere } from "../../certs/is-there.ts";
import { batchesPath, readAuditKeys, refuseHalfRotated, secretPath } from "../../server/audit/keys.ts";
import { refuseHalfRestored, replacedIn } from "../../server/audit/lock.ts";
import { lastAt } from "../../server/audit/snapshot.ts";
import { verifyAuditLog } from "../../server/audit/verify.ts";
import { countStored } from "../../server/batches/batch-store.ts";
import { shellWord } from "../shell-word.ts";
import type { Diagnosis } from "./check.ts";

export function keys(dataDir: string): Diagnosis {
  readAuditKeys(dataDir);
  const certs = join(dataDir, "certs");
  const cas = [...authorities(certs, "roots"), ...authorities(certs, "issuing")].map(({ dir }) => join(dir, "key.pem"));
  for (const file of [secretPath(dataDir), ...cas, join(certs, "server", "key.pem")]) refuseOpenKey(file);
  const detail = `${secretPath(dataDir)}, for its owner only`;
  const before = replacedIn(dataDir);
  if (before.length === 0) return { state: "ok", detail };
  const advice = `when you are sure of the restore: rm -r ${before.map(shellWord).join(" ")}`;
  return {
    state: "warn",
    detail: `${detail}; ${before.join(", ")}: log and keys from before a restore. Delete them ${advice}`,
  };
}

/** Throws when a private key can be read by others than its owner. */
export function refuseOpenKey(file: string): void {
  if (isThere(file) && (statSync(file).mode & 0o077) !== 0)
    throw new Error(`${file} can be read by other users: chmod 600 ${shellWord(file)}`);
}

/** What others than its owner may see or change of a data directory. */
export function modes(dataDir: string): Diagnosis {
  if (!isThere(dataDir)) return { state: "ok", detail: "no data directory yet" };
  const own = statSync(dataDir);
  const user = process.getuid?.();
  if (user !== undefined && user !== 0 && own.uid !== user)
    throw new Error(`${dataDir} belongs to user ${own.uid}: run this as that user, or chown -R ${user} ${shellWord(dataDir)}`);
  const open = readdirSync(dataDir, { withFileTypes: true })
    .filter((entry) => !entry.isSymbolicLink() && entry.name !== "certs")
    .map((entry) => join(dataDir, entry.name))
    .filter((path) => (statSync(path).mode & 0o022) !== 0);
  const first = open[0];
  if (first !== undefined) throw new Error(`${open.join(", ")} can be changed by other users: chmod go-w ${open.map(shellWord).join(" ")}`);
  if ((own.mode & 0o077) !== 0)
    return { state: "warn", detail: `${dataDir} can be looked into by other users: chmod 700 ${shellWord(dataDir)}` };
  return { state: "ok", detail: `${dataDir}, for its owner only` };
}

/** A clock that is wrong makes certificates fail, and entries of the log lie. */
export function clock(dataDir: string): Diagnosis {
  const now = new Date();
  const detail = now.toISOString();
  const last = isThere(join(dataDir, "audit.db")) ? lastAt(dataDir) : undefined;
  if (last !== undefined && new Date(last).getTime() > now.getTime() + 60_000)
    throw new Error(`${detail} is before the last entry of the audit log (${last}): set the clock`);
  const synchronised = existsSync("/run/systemd/timesync/synchronized") || existsSync("/run/chrony") || existsSync("/var/run/ntpd.pid");
  if (synchronised) return { state: "ok", detail: `${detail}, kept by a time service` };
  return {
    state: "warn",
    detail: `${detail}; no time service is known here: see that something sets the clock (chrony, systemd-timesyncd, the host)`,
  };
}

export function auditLog(dataDir: string): Diagnosis {
  refuseHalfRestored(dataDir);
  const [database, head] = [join(dataDir, "audit.db"), join(dataDir, "audit.head")];
  if (!isThere(database)) {
    refuseHalfRotated(dataDir);
    if (!isThere(head)) return { state: "ok", detail: "none yet" };
    throw new Error(`${database} is gone, and ${head} says that there was one: restore both from one backup`);
  }
  const { problems, entries } = verifyAuditLog(dataDir);
  if (problems.length > 0) throw new Error(`${problems.length} problems; see \`npx sallyport audit verify\``);
  return { state: "ok", detail: `whole, ${entries} entries` };
}

/** Files of callers and their batches. */
export function batches(dataDir: string): Diagnosis {
  if (!isThere(batchesPath(dataDir))) return { state: "ok", detail: "none yet" };
  refuseOpenKey(batchesPath(dataDir));
  try {
    const { files, unfinished } = countStored(dataDir);
    return { state: "ok", detail: `${files} files, ${unfinished} unfinished batches, encrypted` };
  } catch (error) {
    refuseHalfRotated(dataDir);
    throw error;
  }
}
