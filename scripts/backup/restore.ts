import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { revokedSerials } from "../../certs/register.ts";
import { writeRevocationLists } from "../../certs/revocation-lists.ts";
import { AuditLog } from "../../server/audit/audit-log.ts";
import type { Head } from "../../server/audit/head.ts";
import { lockData } from "../../server/audit/lock.ts";
import { hashAt, headOf } from "../../server/audit/snapshot.ts";
import { type Manifest, ownFiles, unpack } from "./archive.ts";

interface Restored {
  readonly manifest: Manifest;
  /** Where what was there before is now. */
  readonly replaced: string | undefined;
  /** How many certificates were revoked since the backup was made, and stay it. */
  readonly stillRevoked: number;
}

interface Told {
  readonly backInTime: boolean;
  /** Public key of the log that the backup must be of. */
  readonly signedBy?: string | undefined;
}

/**
 * Puts a backup in the place of a data directory. Refused while a service uses it, when the backup does not prove whole, and, unless `backInTime`, when the
 * log that is there has entries which the backup lacks. What was there is moved aside, never deleted; the log records that it was restored, and over what.
 * Certificates that were revoked since stay revoked.
 */
export async function restoreBackup(
  dataDir: string,
  file: string,
  identity: string,
  { backInTime, signedBy }: Told,
  signal: AbortSignal,
): Promise<Restored> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(dataDir).filter((one) => one.startsWith(".restore-"))) rmSync(join(dataDir, name), { recursive: true });
  const scratch = mkdtempSync(join(dataDir, ".restore-"));
  try {
    using _lock = lockData(dataDir);
    const manifest = await unpack(file, identity, scratch, signal);
    if (signedBy !== undefined && signedBy !== manifest.key) throw new Error(`${file} is signed with another key: ${manifest.key}.`);
    const over = whatIsThere(dataDir);
    if (!backInTime && over !== undefined) refuseOlder(dataDir, over, scratch, manifest);
    // Before the swap: what stands there then says already that it was restored.
    const log = AuditLog.open(scratch, { by: "restore" });
    log.append("restored", "", { made: manifest.made, head: manifest.head, over: over ?? null, backInTime });
    log.close();
    const stillRevoked = keepRevoked(join(dataDir, "certs"), join(scratch, "certs"));
    return { manifest, replaced: swap(dataDir, scratch), stillRevoked };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Revokes in `to` what is revoked in `from` only; returns how many. */
function keepRevoked(from: string, to: string): number {
  const known = revokedSerials(to);
  const more = [...revokedSerials(from)].filter((serial) => !known.has(serial)).map((serial) => join("revoked", `${serial}.json`));
  // A file's own date is when its certificate was revoked.
  for (const file of more) cpSync(join(from, file), join(to, file), { preserveTimestamps: true });
  if (more.length > 0) writeRevocationLists(to);
  return more.length;
}

/** Moves what is in `dataDir` aside, and what was restored there. Returns where the former is now. */
function swap(dataDir: string, scratch: string): string | undefined {
  const here = readdirSync(dataDir).filter((name) => !/^(?:\.restore-|replaced-|service\.lock)/u.test(name));
  const replaced = here.length > 0 ? join(dataDir, `replaced-${new Date().toISOString().replaceAll(/[:.]/gu, "-")}`) : undefined;
  if (replaced !== undefined) {
    mkdirSync(replaced, { mode: 0o700 });
    for (const name of here) renameSync(join(dataDir, name), join(replaced, name));
  }
  for (const name of readdirSync(scratch).filter((one) => !ownFiles.includes(one) && one !== "service.lock"))
    renameSync(join(scratch, name), join(dataDir, name));
  return replaced;
}

function whatIsThere(dataDir: string): Head | "unreadable" | undefined {
  if (!existsSync(join(dataDir, "audit.db")) && !existsSync(join(dataDir, "audit.head"))) return undefined;
  try {
    return headOf(dataDir);
  } catch {
    return "unreadable";
  }
}

function refuseOlder(dataDir: string, over: Head | "unreadable", scratch: string, { head }: Manifest): void {
  const how = "To restore all the same, say --back-in-time; the log will say so too.";
  if (over === "unreadable") throw new Error(`What the log in ${dataDir} holds can't be read, so entries may be lost. ${how}`);
  if (over.seq > head.seq)
    throw new Error(
      `The log in ${dataDir} goes to entry ${over.seq}, and the backup ends at entry ${head.seq}: ${over.seq - head.seq} entries would be lost. ${how}`,
    );
  if (hashAt(scratch, over.seq) !== over.hash)
    throw new Error(`The backup is not of the log in ${dataDir}: entry ${over.seq} is another one there. ${how}`);
}
