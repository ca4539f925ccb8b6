import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { authorities, claim, hasKey, issuerOf, lifeOf, newest, writeKey } from "./authorities.ts";
import { checkName, type Role } from "./identity.ts";
import { describe, type IssuedCertificate, listIssued, revokedSerials } from "./register.ts";
import { lacksList, writeRevocationLists } from "./revocation-lists.ts";
import { writeFileWhole } from "./write-file.ts";
import {
  buildCertificate,
  buildCross,
  buildIssuing,
  buildRoot,
  canonicalSerial,
  type Issuer,
  newKey,
  type Purpose,
  requestedKey,
  type Subject,
} from "./x509.ts";

/*
 * A certificates directory:
 *   roots/N/cert.pem, key.pem, cross.pem   the roots, the newest with the highest number; a key may be kept elsewhere
 *   issuing/N/cert.pem, key.pem            the CAs that issue, each signed by a root
 *   ca.pem                                 the roots' certificates, newest first: what clients and the service trust
 *   crl.pem                                what is revoked, a list of each CA
 *   trust/*.pem                            CAs of others whose clients are let in, each with its list
 *   server/cert.pem, server/key.pem        what the service shows, with the CAs between it and a root
 *   clients/NAME/cert.pem, key.pem         what applications and people show
 *   issued/SERIAL.pem                      every certificate ever issued
 *   revoked/SERIAL.json                    when and why one was revoked
 * The last two are the register: one file a fact, so that two commands at once lose nothing.
 */

const rootLifeDays = 3_650;
const issuingLifeDays = 1_825;
const serverLifeDays = 365;
const clientLifeDays = 365;

const dnsName = /^(?:\*\.)?(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/u;

interface Lasting {
  readonly lifeDays?: number;
}

/**
 * Makes the root, the issuing CA, the revocation lists and the server's certificate, as far as they are missing, and replaces a server's certificate that
 * does not fit its key, is of an older CA, or is in the last third of its life. Returns what it made.
 */
export function initAuthority(dir: string, serverNames: readonly string[]): string[] {
  const made: string[] = [];
  if (authorities(dir, "roots").length === 0) {
    addRoot(dir);
    made.push("roots/1");
  }
  if (authorities(dir, "issuing").length === 0) {
    addIssuing(dir);
    made.push("issuing/1");
  }
  if (writeTrusted(dir)) made.push("ca.pem");
  if (!existsSync(join(dir, "crl.pem")) || lacksList(dir)) {
    writeRevocationLists(dir);
    made.push("crl.pem");
  }
  const server = serverState(dir);
  // Where the issuing CA's key is kept elsewhere, a certificate that still works is left alone.
  if (server === "unfit" || (server === "due" && hasKey(newest(dir, "issuing")))) {
    rotateServer(dir, serverNames);
    made.push("server/cert.pem");
  }
  return made;
}

/** A new key and certificate for the service, under the DNS names and addresses `names`. A running service takes it up by itself. */
export function rotateServer(dir: string, names: readonly string[], { lifeDays = serverLifeDays }: Lasting = {}): IssuedCertificate {
  const bad = names.find((name) => isIP(name) === 0 && (!dnsName.test(name) || name.length > 253));
  if (bad !== undefined) throw new Error(`"${bad}" is not a DNS name or an IP address.`);
  if (names.length === 0) throw new Error("A server's certificate needs a DNS name or an IP address: give some under tls.names.");
  return issue(dir, join(dir, "server"), { commonName: "Sallyport" }, { kind: "server", names }, newKey(), lifeDays);
}

/** A new key and certificate for a client. One that the name had before stays valid until it is revoked or expires. */
export function issueClient(dir: string, name: string, role: Role, { lifeDays = clientLifeDays }: Lasting = {}): IssuedCertificate {
  checkName(name);
  return issue(dir, join(dir, "clients", name), { commonName: name, organizationalUnit: role }, { kind: "client" }, newKey(), lifeDays);
}

/** A certificate for a client that keeps its key: of the request (PKCS #10, PEM) only the key is taken, name and role are the operator's. */
export function issueRequested(
  dir: string,
  name: string,
  role: Role,
  request: string,
  { lifeDays = clientLifeDays }: Lasting = {},
): IssuedCertificate {
  checkName(name);
  const target = join(dir, "clients", name);
  const own = join(target, "key.pem");
  if (existsSync(own))
    throw new Error(`${own} is a key of ${name} that was made here. Issue under another name, or move ${target} away first.`);
  return issue(dir, target, { commonName: name, organizationalUnit: role }, { kind: "client" }, requestedKey(request), lifeDays);
}

/**
 * Revokes every certificate of a client that has not expired, or the one with this serial, and writes the new revocation lists. Returns their
 * serials. Doing it again is no error: an interrupted revocation is finished that way. A serial of another CA counts too, where one is trusted, in any spelling
 * with a digit: letters alone are a client's name with a mistake in it.
 */
export function revoke(dir: string, nameOrSerial: string, reason = "unspecified"): string[] {
  const isSerial = /^[0-9A-Fa-f]{1,40}$/u.test(nameOrSerial);
  const serial = isSerial ? canonicalSerial(nameOrSerial) : "";
  const found = listIssued(dir).filter(
    (one) => one.status !== "expired" && ((one.kind === "client" && one.name === nameOrSerial) || one.serial === serial),
  );
  const foreign = found.length === 0 && existsSync(join(dir, "trust")) && isSerial;
  if (foreign && !/\d/u.test(nameOrSerial))
    throw new Error(
      `There is no valid certificate with the name "${nameOrSerial}". If it is a serial of another CA in trust/, write it as 0${nameOrSerial}.`,
    );
  const serials = foreign ? [serial] : found.map((one) => one.serial);
  if (serials.length === 0)
    throw new Error(`There is no valid certificate with the name or serial "${nameOrSerial}". See \`npx sallyport certs list\`.`);
  const already = revokedSerials(dir);
  for (const one of serials.filter((each) => !already.has(each))) markRevoked(dir, one, reason);
  writeRevocationLists(dir);
  return serials;
}

export function markRevoked(dir: string, serial: string, reason: string): void {
  writeFileWhole(join(dir, "revoked", `${serial}.json`), `${JSON.stringify({ at: new Date().toISOString(), reason })}\n`, 0o600);
}

/** Makes a root, signed by itself and, where there is one before it, by that. */
export function addRoot(dir: string): void {
  const before = authorities(dir, "roots")[0];
  const signer = before && issuerOf(before);
  // A key without its certificate: an interrupted start. What it was for is not known any more.
  const { number, dir: own } = claim(dir, "roots");
  const key = newKey();
  const pem = buildRoot({ commonName: `Sallyport root ${number}` }, key, lifeOf(rootLifeDays));
  addAuthority(dir, own, key, pem, signer);
}

/** Makes an issuing CA, signed by the newest root. */
export function addIssuing(dir: string): void {
  const signer = issuerOf(newest(dir, "roots"));
  const { number, dir: own } = claim(dir, "issuing");
  const key = newKey();
  const life = lifeOf(issuingLifeDays, signer.certificate);
  addAuthority(dir, own, key, buildIssuing({ commonName: `Sallyport issuing CA ${number}` }, createPublicKey(key), life, signer));
}

/** Writes `ca.pem` unless it is right already. */
export function writeTrusted(dir: string): boolean {
  const file = join(dir, "ca.pem");
  const trusted = authorities(dir, "roots")
    .map((root) => root.pem)
    .join("");
  if (existsSync(file) && readFileSync(file, "utf8") === trusted) return false;
  writeFileWhole(file, trusted, 0o644);
  return true;
}

/** What the service shows: the certificate, the CA that issued it, and each root under the one before, for who trusts an older one only. */
export function chainFor(dir: string, pem: string): string {
  const crosses = authorities(dir, "roots").map(({ cross = "" }) => cross);
  return [pem, newest(dir, "issuing").pem, ...crosses].join("");
}

/** A root's key under the root before, into the directory of the newer one. */
export function writeCross(own: string, root: X509Certificate, before: Issuer): void {
  writeFileWhole(join(own, "cross.pem"), buildCross(root, lifeOf(rootLifeDays, before.certificate), before), 0o644);
}

/** Puts a CA to work. Its list comes before itself: a reader meets no CA without one; and again after it, since who revoked meanwhile knew of no such CA. `signer`: the root before, which signs this root's key too. */
function addAuthority(dir: string, own: string, key: KeyObject, pem: string, signer?: Issuer): void {
  const certificate = new X509Certificate(pem);
  writeKey(join(own, "key.pem"), key);
  if (signer !== undefined) writeCross(own, certificate, signer);
  writeRevocationLists(dir, [{ certificate, key }]);
  writeFileWhole(join(dir, "issued", `${certificate.serialNumber}.pem`), pem, 0o600);
  writeFileWhole(join(own, "cert.pem"), pem, 0o644);
  writeRevocationLists(dir);
}

function issue(dir: string, target: string, subject: Subject, purpose: Purpose, key: KeyObject, lifeDays: number): IssuedCertificate {
  const issuer = issuerOf(newest(dir, "issuing"));
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  const pem = buildCertificate(subject, publicKey, lifeOf(lifeDays, issuer.certificate), purpose, issuer);
  const certificate = new X509Certificate(pem);
  writeFileWhole(join(dir, "issued", `${certificate.serialNumber}.pem`), pem, 0o600);
  // Between these two writes the pair does not match; whoever reads it checks, and keeps the old one until it does.
  if (key.type === "private") writeKey(join(target, "key.pem"), key);
  writeFileWhole(join(target, "cert.pem"), chainFor(dir, pem), 0o644);
  return describe(certificate, new Set());
}

/** `due`: in the last third of its life, or of an older CA. `unfit`: missing, damaged, expired, of no CA of ours, or not the certificate of its key. */
function serverState(dir: string): "fine" | "due" | "unfit" {
  const certificate = fittingCertificate(join(dir, "server"));
  if (certificate === undefined) return "unfit";
  const issuing = authorities(dir, "issuing").findIndex(
    (one) => certificate.checkIssued(one.certificate) && certificate.verify(one.certificate.publicKey),
  );
  const { status, renewAt } = describe(certificate, revokedSerials(dir));
  if (issuing === -1 || status !== "valid") return "unfit";
  return issuing > 0 || renewAt.getTime() < Date.now() ? "due" : "fine";
}

/** The certificate of a key pair. Undefined where one of the two is missing or damaged, or is not of the other. */
export function fittingCertificate(dir: string): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(readFileSync(join(dir, "cert.pem")));
    return certificate.checkPrivateKey(createPrivateKey(readFileSync(join(dir, "key.pem")))) ? certificate : undefined;
  } catch {
    return undefined;
  }
}
