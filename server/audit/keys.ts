import { createHmac, createPrivateKey, type KeyObject, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isThere } from "../../certs/is-there.ts";
import { writeFileWhole } from "../../certs/write-file.ts";

/** Keys of what is stored, each 32 bytes, derived from one secret so that an operator has one file to keep safe. */
export interface AuditKeys {
  /** Encrypts the database file. */
  readonly database: Buffer;
  /** Encrypts stored texts inside it. */
  readonly text: Buffer;
  /** Keys the hashes of texts, so that only its holder can ask whether a text was sent. */
  readonly digest: Buffer;
  /** Authenticates the head of the chain, which is kept outside the database. */
  readonly head: Buffer;
  /** Encrypts the database of files and batches. */
  readonly batches: Buffer;
  /** Signs checkpoints and attestations (Ed25519), for those who shall check them without holding a secret. */
  readonly signing: KeyObject;
}

/** What stands before 32 bytes of seed in an Ed25519 private key (RFC 8410 §7, PKCS #8). */
const ed25519Prefix = Buffer.from("302e020100300506032b657004220420", "hex");

/** Path of the secret inside a data directory. */
export function secretPath(dataDir: string): string {
  return join(dataDir, "keys", "audit.key");
}

/** Where a rotation keeps the next secret, from before the database is encrypted anew. */
export function nextSecretPath(dataDir: string): string {
  return `${secretPath(dataDir)}.next`;
}

/** Where the next secret is from when the database is known to be under it: then only is anything written under it, which a crash may leave to be rolled back. */
export function provenSecretPath(dataDir: string): string {
  return `${secretPath(dataDir)}.proven`;
}

/** Throws where a rotation of the secret is at work or was cut off: what can't be read then is not damaged. */
export function refuseHalfRotated(dataDir: string): void {
  if (![nextSecretPath(dataDir), provenSecretPath(dataDir)].some(isThere)) return;
  const [database, dir] = [join(dataDir, "audit.db"), dirname(secretPath(dataDir))];
  throw new Error(
    isThere(database)
      ? `A rotation of the key of ${database} is at work, or was cut off. Start the service, or run \`npx sallyport audit rotate-key\`: either finishes it.`
      : `${database} is gone, and a rotation of its key was cut off: one of those in ${dir} alone opens it. Put it back; or, to begin a new log, move ${dir} and audit.head to where it is.`,
  );
}

/** Path of the database of files and batches, which has a key of the same secret. */
export function batchesPath(dataDir: string): string {
  return join(dataDir, "batches.db");
}

/** Draws the secret unless it is there. */
export function createAuditSecret(dataDir: string): void {
  const path = secretPath(dataDir);
  if (isThere(path)) return;
  if (isThere(join(dataDir, "audit.db"))) throw new Error(missing(dataDir));
  writeFileWhole(path, `${randomBytes(32).toString("hex")}\n`, 0o600);
}

export function readAuditKeys(dataDir: string): AuditKeys {
  const path = secretPath(dataDir);
  if (!isThere(path)) throw new Error(missing(dataDir));
  return deriveKeys(readSecret(path));
}

/** Throws a sentence when the file holds no secret. */
export function readSecret(path: string): Buffer {
  const text = readFileSync(path, "utf8").trim();
  if (!/^[0-9a-f]{64}$/u.test(text)) throw new Error(`${path} is not a key of 64 hexadecimal digits. Restore it from a backup.`);
  return Buffer.from(text, "hex");
}

export function deriveKeys(secret: Buffer): AuditKeys {
  const derive = (purpose: string): Buffer => createHmac("sha256", secret).update(`sallyport audit ${purpose}`).digest();
  const signing = createPrivateKey({ key: Buffer.concat([ed25519Prefix, derive("signing")]), type: "pkcs8", format: "der" });
  return {
    database: derive("database"),
    text: derive("text"),
    digest: derive("digest"),
    head: derive("head"),
    batches: derive("batches"),
    signing,
  };
}

function missing(dataDir: string): string {
  return isThere(join(dataDir, "audit.db"))
    ? `${secretPath(dataDir)} is missing, and the audit log can't be read without it. Restore it from a backup.`
    : `${secretPath(dataDir)} is missing. Run \`npx sallyport setup\`.`;
}
