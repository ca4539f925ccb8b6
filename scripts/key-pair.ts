import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** A certificate and its private key, both PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
  readonly certificate: X509Certificate;
}

/** Reads `cert.pem` and `key.pem` of a directory. Throws, with `advice` at the end, unless they are whole and belong together. */
export function readKeyPair(dir: string, advice: string): KeyPair {
  const [certFile, keyFile] = [join(dir, "cert.pem"), join(dir, "key.pem")];
  const cert = readPem(certFile, advice);
  const key = readPem(keyFile, advice);
  const certificate = parsed(certFile, advice, () => new X509Certificate(cert));
  if (!certificate.checkPrivateKey(parsed(keyFile, advice, () => createPrivateKey(key))))
    throw new Error(`${certFile} and ${keyFile} do not belong together. ${advice}`);
  return { cert, key, certificate };
}

/** The text of a file. Throws with `advice` at the end. */
export function readPem(file: string, advice: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // what `readFileSync` throws
    throw new Error(`${file} ${code === "ENOENT" ? "is missing" : `can't be read (${code})`}. ${advice}`);
  }
}

function parsed<T>(file: string, advice: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    throw new Error(`${file} is damaged. ${advice}`);
  }
}
