/**
 * The seal: the last 2,048 bytes of a bundle, which cover every byte before them. Needs nothing but Node, so that a bundle's own runtime can check it
 * before anything is unpacked: what it has of `server/audit/signing.ts` is a copy, since install.sh unpacks this file alone.
 */
import { createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { closeSync, createReadStream, fstatSync, openSync, readSync } from "node:fs";
import { pipeline } from "node:stream/promises";

export const sealBytes = 2_048;

/** An older key's statement that another one follows it. */
export interface Rotation {
  /** SPKI, base64. */
  readonly from: string;
  /** Ed25519 over both keys, base64. */
  readonly signature: string;
}

export interface Seal {
  /** Of everything before the seal, hexadecimal. */
  readonly sha256: string;
  /** Whose signature it is: SPKI, base64. */
  readonly key: string;
  /** Ed25519, base64. */
  readonly signature: string;
  /** Oldest first; the last one hands over to `key`. */
  readonly rotations: readonly Rotation[];
}

const format =
  /^sallyport bundle seal 1\nsha256 (?<sha256>[0-9a-f]{64})\nkey (?<key>\S{60})\nsignature (?<signature>\S{88})\n(?<rotations>(?:rotation \S{60} \S{88}\n)*)\n*$/u;

export function makeSeal(sha256: string, key: KeyObject, rotations: readonly Rotation[]): Buffer {
  const seal = { sha256, key: publicText(key), signature: sign(null, Buffer.from(sealed(sha256)), key).toString("base64"), rotations };
  const text = textOf(seal);
  if (text.length > sealBytes)
    throw new Error("More rotations of the release key than a seal has room for: begin a new chain, and install afresh.");
  return Buffer.from(text.padEnd(sealBytes, "\n"));
}

export function rotation(from: KeyObject, to: KeyObject): Rotation {
  const texts = [publicText(from), publicText(to)] as const;
  return { from: texts[0], signature: sign(null, Buffer.from(handedOver(...texts)), from).toString("base64") };
}

/** Throws a sentence when the file does not end in a seal. */
export function readSeal(file: string): Seal {
  const descriptor = openSync(file, "r");
  try {
    const { size } = fstatSync(descriptor);
    const bytes = Buffer.alloc(Math.min(size, sealBytes));
    readSync(descriptor, bytes, 0, bytes.length, size - bytes.length);
    const { sha256 = "", key = "", signature = "", rotations = "" } = format.exec(bytes.toString("latin1"))?.groups ?? {};
    const seal = { sha256, key, signature, rotations: rotations.split("\n").flatMap(rotationOf) };
    const texts = [key, signature, ...seal.rotations.flatMap((one) => [one.from, one.signature])];
    // Base64 has several spellings of the same bytes: one only counts, so that no byte of the file can change unseen.
    const isPlain = texts.every((text) => Buffer.from(text, "base64").toString("base64") === text);
    if (bytes.length === sealBytes && isPlain && textOf(seal).padEnd(sealBytes, "\n") === bytes.toString("latin1")) return seal;
    throw new Error(`${file} is no whole bundle: its seal is missing or damaged. Copy it again.`);
  } finally {
    closeSync(descriptor);
  }
}

/** SHA-256 of everything before the seal, hexadecimal. Throws the signal's reason when aborted. */
export async function sha256OfSealed(file: string, size: number, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(file, { end: size - sealBytes - 1, highWaterMark: 1 << 20 }), hash, { signal });
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
  return hash.digest("hex");
}

/** Throws a sentence unless the seal is about `sha256`, is signed, and its key is `pinned` or follows it. */
export function checkSeal(seal: Seal, sha256: string, pinned?: string): void {
  if (seal.sha256 !== sha256)
    throw new Error("The bundle was altered or damaged: its SHA-256 is not the one that was sealed. Copy it again.");
  if (!isSigned(sealed(sha256), seal.signature, seal.key)) throw new Error("The bundle's signature is not that of the key it names.");
  const keys = [...seal.rotations.map((one) => one.from), seal.key];
  for (const [index, { from, signature }] of seal.rotations.entries())
    if (!isSigned(handedOver(from, keys[index + 1] ?? ""), signature, from))
      throw new Error("A rotation of the release key is not signed by the older key.");
  if (pinned !== undefined && !keys.includes(pinned)) {
    throw new Error(
      `The bundle is signed by ${fingerprint(seal.key)}, and this installation trusts ${fingerprint(pinned)} only. Ask whoever made it for one with a rotation statement.`,
    );
  }
}

/** SHA-256 of a public key, hexadecimal: what people compare. */
export function fingerprint(key: string): string {
  return createHash("sha256").update(Buffer.from(key, "base64")).digest("hex");
}

/** A key's public half: SPKI, base64. */
export function publicText(key: KeyObject): string {
  const half = key.type === "private" ? createPublicKey(key) : key;
  return half.export({ type: "spki", format: "der" }).toString("base64");
}

function isSigned(text: string, signature: string, key: string): boolean {
  try {
    const publicKey = createPublicKey({ key: Buffer.from(key, "base64"), format: "der", type: "spki" });
    return publicKey.asymmetricKeyType === "ed25519" && verify(null, Buffer.from(text), publicKey, Buffer.from(signature, "base64"));
  } catch {
    return false;
  }
}

function textOf({ sha256, key, signature, rotations }: Seal): string {
  return `${sealed(sha256)}key ${key}\nsignature ${signature}\n${rotations.map(rotationLine).join("")}`;
}

export function rotationLine({ from, signature }: Rotation): string {
  return `rotation ${from} ${signature}\n`;
}

/** None for another line. */
export function rotationOf(line: string): Rotation[] {
  const [, from, signature] = /^rotation (\S+) (\S+)$/u.exec(line) ?? [];
  return from === undefined || signature === undefined ? [] : [{ from, signature }];
}

function sealed(sha256: string): string {
  return `sallyport bundle seal 1\nsha256 ${sha256}\n`;
}

function handedOver(from: string, to: string): string {
  return `sallyport release key rotation 1\nfrom ${from}\nto ${to}\n`;
}
