import { spawn } from "node:child_process";
import type { KeyObject } from "node:crypto";
import { once } from "node:events";
import { createReadStream, createWriteStream, type Dirent, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Decrypter, Encrypter } from "age-encryption";
import { readTlsMaterial } from "../../certs/tls-material.ts";
import { sha256Of } from "../../models/verify-file.ts";
import { isSigned, signed } from "../../server/audit/signing.ts";
import { verifyAuditLog } from "../../server/audit/verify.ts";

/** `MANIFEST.json` of a backup. */
export interface Manifest {
  readonly sallyport: string;
  readonly made: string;
  /** The last entry of the log. */
  readonly head: { readonly seq: number; readonly hash: string };
  /** Public key of the log, which has signed this manifest (`MANIFEST.sig`): age says for whom a backup is, not from whom. SPKI, base64. */
  readonly key: string;
  /** SHA-256 by path, of every file but the manifest. */
  readonly files: Readonly<Record<string, string>>;
}

const manifestFile = "MANIFEST.json";
const signatureFile = "MANIFEST.sig";

/** What belongs to a backup, and not to a data directory. */
export const ownFiles: readonly string[] = [manifestFile, signatureFile];

/** Encrypts a directory for `recipients` (age, tar inside) into a new file, with its manifest. */
export async function pack(
  dir: string,
  about: Omit<Manifest, "files">,
  signing: KeyObject,
  file: string,
  recipients: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const files = Object.fromEntries(await Promise.all(filesIn(dir).map(async (path) => [path, await sha256Of(join(dir, path))] as const)));
  const manifest = `${JSON.stringify({ ...about, files }, null, 2)}\n`;
  writeFileSync(join(dir, manifestFile), manifest, { mode: 0o600 });
  writeFileSync(join(dir, signatureFile), signed(manifest, signing), { mode: 0o600 });
  const encrypter = new Encrypter();
  for (const recipient of recipients) encrypter.addRecipient(recipient);
  const tar = spawn("tar", ["--create", "--directory", dir, "."], { stdio: ["ignore", "pipe", "inherit"], signal });
  const ended = endOf(tar);
  const plain = Readable.toWeb(tar.stdout) as ReadableStream<Uint8Array<ArrayBuffer>>; // Node's own type of the same thing
  const sealed = await encrypter.encrypt(plain);
  await pipeline(
    Readable.fromWeb(sealed as Parameters<typeof Readable.fromWeb>[0]),
    createWriteStream(file, { flags: "wx", mode: 0o600, flush: true }),
    { signal },
  );
  await ended;
}

/** Decrypts a backup into an empty directory, and proves it: every file by its sum, the log by its chain, the certificates by each other. Throws a sentence. */
export async function unpack(file: string, identity: string, dir: string, signal: AbortSignal): Promise<Manifest> {
  const decrypter = new Decrypter();
  let plain: ReadableStream<Uint8Array>;
  try {
    decrypter.addIdentity(identity);
    plain = await decrypter.decrypt(Readable.toWeb(createReadStream(file)) as ReadableStream<Uint8Array<ArrayBuffer>>); // as above
  } catch (cause) {
    throw new Error(`${file} is no backup for this key, or its beginning is damaged (${(cause as Error).message}).`);
  }
  const tar = spawn("tar", ["--extract", "--no-same-owner", "--directory", dir], { stdio: ["pipe", "ignore", "ignore"], signal });
  const ended = endOf(tar);
  const piped = pipeline(Readable.fromWeb(plain as Parameters<typeof Readable.fromWeb>[0]), tar.stdin, { signal });
  const [unsealed, untarred] = await Promise.allSettled([piped, ended]);
  signal.throwIfAborted();
  if (unsealed.status === "rejected" || untarred.status === "rejected")
    throw new Error(`${file} is damaged: it can't be decrypted to its end. Take another one.`);
  return await prove(dir, file);
}

async function prove(dir: string, file: string): Promise<Manifest> {
  const text = readFileSync(join(dir, manifestFile), "utf8");
  const manifest = JSON.parse(text) as Manifest; // its signature is checked
  if (!isSigned(text, readFileSync(join(dir, signatureFile), "utf8"), manifest.key))
    throw new Error(`The manifest in ${file} was altered. Take another backup.`);
  const found = filesIn(dir).filter((path) => !ownFiles.includes(path));
  const wrong = found.length !== Object.keys(manifest.files).length;
  const sums = await Promise.all(found.map(async (path) => (await sha256Of(join(dir, path))) === manifest.files[path]));
  if (wrong || sums.includes(false)) throw new Error(`${file} does not hold what its manifest says. Take another one.`);
  const { problems, entries, head } = verifyAuditLog(dir);
  if (problems.length > 0 || entries !== manifest.head.seq || head !== manifest.head.hash)
    throw new Error(`The audit log in ${file} is not whole: ${problems.join(" ") || "it ends elsewhere than the manifest says."}`);
  readTlsMaterial(join(dir, "certs"));
  return manifest;
}

/** Paths of all files below a directory. Throws at what is neither file nor directory: a link leads elsewhere on another host, or nowhere. */
export function filesIn(dir: string): string[] {
  const found = readdirSync(dir, { recursive: true, withFileTypes: true });
  const pathOf = ({ parentPath, name }: Dirent): string => relative(dir, join(parentPath, name));
  const other = found.find((one) => !one.isFile() && !one.isDirectory());
  if (other !== undefined)
    throw new Error(`${pathOf(other)} is neither a file nor a directory, and a backup holds nothing else. Take another one.`);
  return found
    .filter((one) => one.isFile())
    .map(pathOf)
    .toSorted();
}

async function endOf(tar: ReturnType<typeof spawn>): Promise<void> {
  const [status] = await once(tar, "close");
  if (status !== 0) throw new Error(`tar ended with status ${status}.`);
}
