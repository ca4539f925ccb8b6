import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { writeFileWhole } from "../../certs/write-file.ts";
import { type Rotation, rotation, rotationLine, rotationOf } from "./seal.ts";

/** What signs bundles, and how it came to be trusted. */
export interface ReleaseKey {
  readonly key: KeyObject;
  readonly rotations: readonly Rotation[];
}

/** Outside every working tree: a release key belongs to whoever releases, not to a clone. */
export const defaultKeyFile = join(process.env.XDG_CONFIG_HOME || join(homedir(), ".config"), "sallyport", "release.key");

/** Throws unless the file holds an Ed25519 key. */
export function readReleaseKey(file: string): ReleaseKey {
  if (!existsSync(file)) throw new Error(`${file} is missing. Make a release key: npx sallyport bundle key ${file}`);
  let key: KeyObject;
  try {
    key = createPrivateKey(readFileSync(file, "utf8"));
  } catch {
    throw new Error(`${file} holds no private key. Restore it from a backup.`);
  }
  if (key.asymmetricKeyType !== "ed25519") throw new Error(`${file} holds a key of another kind: a release key is Ed25519.`);
  const statements = rotationsFile(file);
  return { key, rotations: existsSync(statements) ? readFileSync(statements, "utf8").split("\n").flatMap(rotationOf) : [] };
}

/** Makes a key, with the statement of the older one that it follows. Never replaces a file. */
export function makeReleaseKey(file: string, older?: ReleaseKey): ReleaseKey {
  if (existsSync(file)) throw new Error(`${resolve(file)} exists already: a release key is never replaced. Name another file.`);
  const key = generateKeyPairSync("ed25519").privateKey;
  const rotations = older === undefined ? [] : [...older.rotations, rotation(older.key, key)];
  if (rotations.length > 0) writeFileWhole(rotationsFile(file), rotations.map(rotationLine).join(""), 0o644);
  writeFileWhole(file, String(key.export({ type: "pkcs8", format: "pem" })), 0o600);
  return { key, rotations };
}

function rotationsFile(file: string): string {
  return `${file}.rotations`;
}
