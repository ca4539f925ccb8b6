import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createSecureContext } from "node:tls";

/** What a TLS server needs, read and found to fit together. PEM. */
export interface TlsMaterial {
  readonly ca: string;
  readonly crl: string;
  readonly cert: string;
  readonly key: string;
  /** Changes when any of it does. */
  readonly fingerprint: string;
}

/** Reads a certificates directory. Throws a sentence that names the file when one is missing, damaged, expired or belongs to another. */
export function readTlsMaterial(dir: string): TlsMaterial {
  const files = { ca: "ca.pem", crl: "crl.pem", cert: join("server", "cert.pem"), key: join("server", "key.pem") };
  const [ca, crl, cert, key] = [files.ca, files.crl, files.cert, files.key].map((file) => read(join(dir, file))) as [
    string,
    string,
    string,
    string,
  ]; // four in, four out
  const authority = parsed(join(dir, files.ca), () => new X509Certificate(ca));
  const server = parsed(join(dir, files.cert), () => new X509Certificate(cert));
  const privateKey = parsed(join(dir, files.key), () => createPrivateKey(key));
  parsed(join(dir, files.crl), () => createSecureContext({ crl }));
  if (!server.checkPrivateKey(privateKey))
    throw new Error(`${join(dir, files.cert)} and ${join(dir, files.key)} do not belong together. Run \`npx sallyport certs rotate\`.`);
  if (!server.checkIssued(authority) || !server.verify(authority.publicKey)) {
    throw new Error(`${join(dir, files.cert)} was not issued by ${join(dir, files.ca)}. Run \`npx sallyport certs rotate\`.`);
  }
  if (new Date(server.validTo).getTime() < Date.now())
    throw new Error(`${join(dir, files.cert)} expired on ${server.validTo}. Run \`npx sallyport certs rotate\`.`);
  const fingerprint = createHash("sha256")
    .update(JSON.stringify([ca, crl, cert, key]))
    .digest("hex");
  return { ca, crl, cert, key, fingerprint };
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new Error(`${path} can't be read. Make what is missing with \`npx sallyport certs init\`.`, { cause });
  }
}

function parsed<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new Error(`${path} is damaged. Restore it from a backup.`, { cause });
  }
}
