import { X509Certificate } from "node:crypto";

export function pem(bytes: Buffer, label: string): string {
  return `-----BEGIN ${label}-----\n${(bytes.toString("base64").match(/.{1,64}/gu) ?? []).join("\n")}\n-----END ${label}-----\n`;
}

/** The DER of a single block. */
export function bytesOfPem(text: string): Buffer {
  return Buffer.from(text.replace(/-----[^-]*-----|\s/gu, ""), "base64");
}

/** Throws when one is damaged. */
export function certificatesIn(text: string): X509Certificate[] {
  return blocks(text, "CERTIFICATE").map((block) => new X509Certificate(block));
}

export function revocationListsIn(text: string): string[] {
  return blocks(text, "X509 CRL");
}

function blocks(text: string, label: string): string[] {
  return [...text.matchAll(new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----\\n?`, "gu"))].map(([block]) =>
    block.endsWith("\n") ? block : `${block}\n`,
  );
}
