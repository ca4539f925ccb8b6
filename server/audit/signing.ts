import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";

/** A key's public half: SPKI, base64. */
export function publicText(key: KeyObject): string {
  return createPublicKey(key).export({ type: "spki", format: "der" }).toString("base64");
}

/** Ed25519, base64. */
export function signed(text: string, key: KeyObject): string {
  return sign(null, Buffer.from(text), key).toString("base64");
}

/** Whether `signature` over `text` is of the key whose public half `publicText` wrote. False, too, where that is no such key. */
export function isSigned(text: string, signature: string, key: string): boolean {
  try {
    const publicKey = createPublicKey({ key: Buffer.from(key, "base64"), type: "spki", format: "der" });
    return publicKey.asymmetricKeyType === "ed25519" && verify(null, Buffer.from(text), publicKey, Buffer.from(signature, "base64"));
  } catch {
    return false;
  }
}
