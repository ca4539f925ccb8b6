import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { hasKey, newest } from "../../certs/authorities.ts";
import { revokedAuthority, revokedSerials } from "../../certs/register.ts";
import { writeRevocationLists } from "../../certs/revocation-lists.ts";
import { renewClients, rotateIssuing } from "../../certs/rotation.ts";
import { flush, flushTree, renameDurably } from "../../certs/write-file.ts";
import { subjectLine } from "../../certs/x509.ts";
import { AuditLog } from "../../server/audit/audit-log.ts";
import type { Head } from "../../server/audit/head.ts";
import { asideOf, lockData, removeReplacedBatches } from "../../server/audit/lock.ts";
import { hashAt, headOf } from "../../server/audit/snapshot.ts";
import { type Manifest, ownFiles, unpack } from "./archive.ts";

interface Restored {
  readonly manifest: Manifest;
  /** Where what was there before is now. */
  readonly replaced: string | undefined;
  /** How many certificates were revoked since the backup was made, and stay it. */
  readonly stillRevoked: number;
  /** Where the backup's CA is one of them: what was done, or is to do, in sentences. */
  readonly authority: string | undefined;
}

interface Told {
  readonly backInTime: boolean;
  /** Public key of the log that the backup must be of. */
  readonly signedBy?: string | undefined;
  /** For a new certificate of the server. */
  readonly serverNames: readonly string[];
}

/**
 * Puts a backup in the place of a data directory. Refused while a service uses it, when the backup does not prove whole, and, unless `backInTime`, when the
 * log that is there has entries which the backup lacks. What was there is moved aside; only files and batches of callers are deleted, once all of the backup
 * is there. The log records that it was restored, and over what. Certificates that were revoked since stay revoked; an issuing CA among them is replaced.
 */
export async function restoreBackup(
  dataDir: string,
  file: string,
  identity: string,
  { backInTime, signedBy, serverNames }: Told,
  signal: AbortSignal,
): Promise<Restored> {
  if (mkdirSync(dataDir, { recursive: true, mode: 0o700 }) !== undefined) flush(dirname(dataDir));
  using _lock = lockData(dataDir);
  clear(dataDir);
  const { unpacked } = placesIn(dataDir);
  try {
    mkdirSync(unpacked, { recursive: true, mode: 0o700 });
    const manifest = await unpack(file, identity, unpacked, signal);
    if (signedBy !== undefined && signedBy !== manifest.key) throw new Error(`${file} is signed with another key: ${manifest.key}.`);
    const over = whatIsThere(dataDir);
    if (!backInTime && over !== undefined) refuseOlder(dataDir, over, unpacked, manifest);
    // Before the swap: what stands there then says already that it was restored.
    const log = AuditLog.open(unpacked, { by: "restore" });
    log.append("restored", "", { made: manifest.made, head: manifest.head, over: over ?? null, backInTime });
    log.close();
    const stillRevoked = keepRevoked(join(dataDir, "certs"), join(unpacked, "certs"));
    const authority = replaceRevoked(join(unpacked, "certs"), join(dataDir, "certs"), serverNames);
    flushTree(unpacked);
    return { manifest, replaced: swap(dataDir), stillRevoked, authority };
  } finally {
    clear(dataDir);
  }
}

interface Places {
  readonly scratch: string;
  /** The backup, until all that was there is aside. */
  readonly unpacked: string;
  /** The rest of the backup, while it is moved to where it belongs. */
  readonly entering: string;
  readonly aside: string;
}

function placesIn(dataDir: string): Places {
  const aside = asideOf(dataDir);
  const scratch = dirname(aside);
  return { scratch, unpacked: join(scratch, "unpacked"), entering: join(scratch, "entering"), aside };
}

/** Revokes in `to` what is revoked in `from` only; returns how many. */
function keepRevoked(from: string, to: string): number {
  const known = revokedSerials(to);
  const more = [...revokedSerials(from)].filter((serial) => !known.has(serial)).map((serial) => join("revoked", `${serial}.json`));
  // A file's own date is when its certificate was revoked. Node copies what a link leads to only with `recursive`.
  for (const file of more) cpSync(join(from, file), join(to, file), { preserveTimestamps: true, dereference: true, recursive: true });
  if (more.length > 0) writeRevocationLists(to);
  return more.length;
}

/**
 * `certs retire` revokes the issuing CA before, and with that as its only one a backup lets nobody in. That it is revoked stays: its key may be stolen. `dir` is
 * where the certificates are, `target` where they are about to be.
 */
function replaceRevoked(dir: string, target: string, serverNames: readonly string[]): string | undefined {
  const revoked = revokedAuthority(dir);
  if (revoked === undefined) return undefined;
  const was = `${subjectLine(revoked.certificate)}, the newest in the backup, was revoked since`;
  const root = newest(dir, "roots");
  if (revoked.kind === "roots" || !hasKey(root))
    return `${was}. With the root's key in ${join(target, "roots", String(root.number))}, run \`npx sallyport certs rotate ${revoked.kind === "roots" ? "--ca" : "--issuing"}\` and \`npx sallyport certs renew\`, and hand clients their new files. Under a root of your own, begin with \`npx sallyport certs request\`.`;
  rotateIssuing(dir, serverNames);
  const { length } = renewClients(dir);
  return `${was}: there is a new one, and the server and ${length} clients have new certificates of it. Hand clients their new files from ${join(target, "clients")}; those whose key is elsewhere, which \`npx sallyport certs list\` calls retired, need a new certificate too.`;
}

/**
 * Moves what is in `dataDir` aside, and what was restored there. Returns where the former is now. It is done once `aside` has its other name: until then
 * `clear` takes it back.
 */
function swap(dataDir: string): string | undefined {
  const { unpacked, entering, aside } = placesIn(dataDir);
  mkdirSync(aside, { mode: 0o700 });
  flush(dirname(aside));
  moveAll(contentsOf(dataDir), dataDir, aside);
  renameDurably(unpacked, entering);
  moveAll(contentsOf(entering), entering, dataDir);
  if (readdirSync(aside).length === 0) {
    rmdirSync(aside);
    return undefined;
  }
  const replaced = join(dataDir, `replaced-${new Date().toISOString().replaceAll(/[:.]/gu, "-")}`);
  renameSync(aside, replaced);
  return replaced;
}

/** Takes back a swap that did not come to its end, and removes the scratch directory and what was aside of callers' files. May itself be cut off, and done again. */
function clear(dataDir: string): void {
  const { scratch, unpacked, entering, aside } = placesIn(dataDir);
  if (existsSync(aside)) {
    if (existsSync(entering)) {
      moveAll(contentsOf(dataDir), dataDir, entering);
      renameDurably(entering, unpacked);
    }
    moveAll(readdirSync(aside), aside, dataDir);
    rmdirSync(aside);
  }
  rmSync(scratch, { recursive: true, force: true });
  flush(dataDir);
  removeReplacedBatches(dataDir);
}

/** A step is on disk before the next one begins: after a power cut, too, `clear` finds one of them half done at most. */
function moveAll(names: readonly string[], from: string, to: string): void {
  for (const name of names) renameSync(join(from, name), join(to, name));
  for (const dir of [to, from]) flush(dir);
}

/** What a restoration moves. */
function contentsOf(dir: string): string[] {
  return readdirSync(dir).filter((name) => !ownFiles.includes(name) && !/^(?:\.restore|replaced-|service\.lock|lost\+found$)/u.test(name));
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
