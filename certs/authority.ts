import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { checkName, type Role } from "./identity.ts";
import { describe, type IssuedCertificate, listIssued, readCertificate, revokedSerials } from "./register.ts";
import { writeFileWhole } from "./write-file.ts";
import {
  buildAuthority,
  buildCertificate,
  buildRevocationList,
  type Issuer,
  type Life,
  newKey,
  type Purpose,
  type Subject,
} from "./x509.ts";

/*
 * A certificates directory:
 *   ca.pem, ca.key.pem                what clients trust, and its key
 *   crl.pem                           revoked certificates, signed
 *   server/cert.pem, server/key.pem   what the service shows
 *   clients/NAME/cert.pem, key.pem    what applications and people show
 *   issued/SERIAL.pem                 every certificate ever issued
 *   revoked/SERIAL.json               when and why one was revoked
 * The last two are the register: one file a fact, so that two commands at once lose nothing.
 */

export const caLifeDays = 3_650;
export const serverLifeDays = 365;
export const clientLifeDays = 365;

/** Clocks of clients and servers differ: a new certificate is valid from five minutes ago. */
const backdateMs = 5 * 60_000;
const dayMs = 86_400_000;
const dnsName = /^(?:\*\.)?(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/u;

/**
 * Makes the CA, the revocation list and the server's certificate, as far as they are missing, and replaces a server's certificate that does not
 * fit its key or is in the last third of its life. Returns what it made.
 */
export function initAuthority(dir: string, serverNames: readonly string[]): string[] {
  const made: string[] = [];
  if (!existsSync(join(dir, "ca.pem"))) {
    // A key without its certificate: an interrupted start, or a certificate lost. The same key makes one that old certificates fit.
    const keyFile = join(dir, "ca.key.pem");
    const key = existsSync(keyFile) ? readKey(keyFile) : newKey();
    writeKey(keyFile, key);
    writeFileWhole(join(dir, "ca.pem"), buildAuthority({ commonName: "Sallyport CA" }, key, life(caLifeDays)), 0o644);
    made.push("ca.pem");
  }
  if (!existsSync(join(dir, "crl.pem"))) {
    writeRevocationList(dir);
    made.push("crl.pem");
  }
  const server = serverState(dir);
  // Where the CA's key is kept elsewhere, a certificate that still works is left alone.
  if (server === "unfit" || (server === "due" && existsSync(join(dir, "ca.key.pem")))) {
    rotateServer(dir, serverNames);
    made.push("server/cert.pem");
  }
  return made;
}

/** A new key and certificate for the service, under the DNS names and addresses `names`. A running service takes it up by itself. */
export function rotateServer(
  dir: string,
  names: readonly string[],
  { lifeDays = serverLifeDays }: { lifeDays?: number } = {},
): IssuedCertificate {
  const bad = names.find((name) => isIP(name) === 0 && (!dnsName.test(name) || name.length > 253));
  if (bad !== undefined) throw new Error(`"${bad}" is not a DNS name or an IP address.`);
  if (names.length === 0) throw new Error("A server's certificate needs a DNS name or an IP address: give some under tls.names.");
  return issue(dir, join(dir, "server"), { commonName: "Sallyport" }, { kind: "server", names }, lifeDays);
}

/** A new key and certificate for a client. One that the name had before stays valid until it is revoked or expires. */
export function issueClient(
  dir: string,
  name: string,
  role: Role,
  { lifeDays = clientLifeDays }: { lifeDays?: number } = {},
): IssuedCertificate {
  checkName(name);
  return issue(dir, join(dir, "clients", name), { commonName: name, organizationalUnit: role }, { kind: "client" }, lifeDays);
}

/**
 * Revokes every certificate of a client that has not expired, or the one with this serial, and writes the new revocation list. Returns their
 * serials. Doing it again is no error: an interrupted revocation is finished that way.
 */
export function revoke(dir: string, nameOrSerial: string, reason = "unspecified"): string[] {
  const all = listIssued(dir).filter(
    (one) =>
      one.status !== "expired" && ((one.kind === "client" && one.name === nameOrSerial) || one.serial === nameOrSerial.toUpperCase()),
  );
  if (all.length === 0)
    throw new Error(`There is no valid certificate with the name or serial "${nameOrSerial}". See \`npx sallyport certs list\`.`);
  for (const { serial } of all.filter((one) => one.status === "valid")) {
    writeFileWhole(join(dir, "revoked", `${serial}.json`), `${JSON.stringify({ at: new Date().toISOString(), reason })}\n`, 0o600);
  }
  writeRevocationList(dir);
  return all.map((one) => one.serial);
}

function issue(dir: string, target: string, subject: Subject, purpose: Purpose, lifeDays: number): IssuedCertificate {
  const issuer = readIssuer(dir);
  const wanted = life(lifeDays);
  const caEnd = new Date(issuer.certificate.validTo);
  // Nothing outlives what signed it.
  const notAfter = wanted.notAfter < caEnd ? wanted.notAfter : caEnd;
  const key = newKey();
  const pem = buildCertificate(subject, createPublicKey(key), { ...wanted, notAfter }, purpose, issuer);
  const certificate = new X509Certificate(pem);
  writeFileWhole(join(dir, "issued", `${certificate.serialNumber}.pem`), pem, 0o600);
  // Between these two writes the pair does not match; whoever reads it checks, and keeps the old one until it does.
  writeKey(join(target, "key.pem"), key);
  writeFileWhole(join(target, "cert.pem"), pem, 0o644);
  return describe(certificate, new Set());
}

/** `due`: in the last third of its life. `unfit`: missing, damaged, expired, of another CA, or not the certificate of its key. */
function serverState(dir: string): "fine" | "due" | "unfit" {
  try {
    const certificate = new X509Certificate(readFileSync(join(dir, "server", "cert.pem")));
    const fits = certificate.checkPrivateKey(createPrivateKey(readFileSync(join(dir, "server", "key.pem"))));
    const ours = certificate.verify(readCertificate(join(dir, "ca.pem")).publicKey);
    const { status, renewAt } = describe(certificate, revokedSerials(dir));
    if (!fits || !ours || status !== "valid") return "unfit";
    return renewAt.getTime() < Date.now() ? "due" : "fine";
  } catch {
    return "unfit";
  }
}

function readIssuer(dir: string): Issuer {
  if (!existsSync(join(dir, "ca.pem")))
    throw new Error(`There is no certificate authority in ${dir}. Make one with \`npx sallyport certs init\`.`);
  return { certificate: readCertificate(join(dir, "ca.pem")), key: readKey(join(dir, "ca.key.pem")) };
}

function readKey(path: string): KeyObject {
  if (!existsSync(path))
    throw new Error(`${path} is missing, and nothing can be issued or revoked without it. Put the CA's key there, from where it is kept.`);
  try {
    return createPrivateKey(readFileSync(path));
  } catch (cause) {
    throw new Error(`${path} is no private key, or damaged. Restore it from a backup.`, { cause });
  }
}

function writeRevocationList(dir: string): void {
  const issuer = readIssuer(dir);
  // That the file is there revokes; its own date is near enough to when.
  const revoked = [...revokedSerials(dir)].map((serial) => ({ serial, at: statSync(join(dir, "revoked", `${serial}.json`)).mtime }));
  // A list that ran out would lock everybody out of a host that nobody visits: it is replaced at each revocation, and lasts as long as the CA.
  const lifeOfList = { notBefore: new Date(Date.now() - backdateMs), notAfter: new Date(issuer.certificate.validTo) };
  writeFileWhole(join(dir, "crl.pem"), buildRevocationList(revoked, Date.now(), lifeOfList, issuer), 0o644);
}

function writeKey(path: string, key: KeyObject): void {
  writeFileWhole(path, String(key.export({ type: "pkcs8", format: "pem" })), 0o600);
}

function life(days: number): Life {
  const now = Date.now();
  return { notBefore: new Date(now - backdateMs), notAfter: new Date(now + days * dayMs) };
}
