import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Role, roles } from "./identity.ts";
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

export interface IssuedCertificate {
  readonly serial: string;
  readonly kind: "server" | "client";
  readonly name: string;
  /** Of a client. */
  readonly role?: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Two thirds through its life: time to replace it. */
  readonly renewAt: Date;
  readonly status: "valid" | "expired" | "revoked";
}

/** Makes the CA, an empty revocation list and the server's certificate, as far as they are missing. Returns what it made. */
export function initAuthority(dir: string, serverNames: readonly string[]): string[] {
  const made: string[] = [];
  if (!existsSync(join(dir, "ca.pem"))) {
    const key = newKey();
    const pem = buildAuthority({ commonName: "Sallyport CA" }, key, life(caLifeDays));
    writeKey(join(dir, "ca.key.pem"), key);
    writeFileWhole(join(dir, "ca.pem"), pem, 0o644);
    made.push("ca.pem");
  }
  if (!existsSync(join(dir, "crl.pem"))) {
    writeRevocationList(dir);
    made.push("crl.pem");
  }
  if (!existsSync(join(dir, "server", "cert.pem"))) {
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
  const bad = names.find((name) => !/^[A-Za-z0-9.:*_-]{1,253}$/u.test(name));
  if (bad !== undefined || names.length === 0) throw new Error(`"${bad ?? ""}" is not a DNS name or an IP address.`);
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

/** Revokes every valid certificate of a client, or the one with this serial, and writes the new revocation list. Returns their serials. */
export function revoke(dir: string, nameOrSerial: string, reason = "unspecified"): string[] {
  const all = listIssued(dir).filter(
    (one) => one.status === "valid" && ((one.kind === "client" && one.name === nameOrSerial) || one.serial === nameOrSerial.toUpperCase()),
  );
  if (all.length === 0)
    throw new Error(`There is no valid certificate with the name or serial "${nameOrSerial}". See \`npx sallyport certs list\`.`);
  for (const { serial } of all) {
    writeFileWhole(join(dir, "revoked", `${serial}.json`), `${JSON.stringify({ at: new Date().toISOString(), reason })}\n`, 0o600);
  }
  writeRevocationList(dir);
  return all.map((one) => one.serial);
}

/** Every certificate ever issued, newest first. */
export function listIssued(dir: string): IssuedCertificate[] {
  const revoked = revokedSerials(dir);
  return filesIn(join(dir, "issued"), ".pem")
    .map((file) => describe(new X509Certificate(readFileSync(join(dir, "issued", file))), revoked))
    .toSorted((a, b) => b.notBefore.getTime() - a.notBefore.getTime() || a.serial.localeCompare(b.serial));
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

function readIssuer(dir: string): Issuer {
  try {
    return {
      certificate: new X509Certificate(readFileSync(join(dir, "ca.pem"))),
      key: createPrivateKey(readFileSync(join(dir, "ca.key.pem"))),
    };
  } catch (cause) {
    throw new Error(`There is no certificate authority in ${dir}. Make one with \`npx sallyport certs init\`.`, { cause });
  }
}

function writeRevocationList(dir: string): void {
  const issuer = readIssuer(dir);
  const revoked = [...revokedSerials(dir)].map((serial) => {
    const { at } = JSON.parse(readFileSync(join(dir, "revoked", `${serial}.json`), "utf8")) as { at: string }; // written by `revoke`
    return { serial, at: new Date(at) };
  });
  // A list that ran out would lock everybody out of a host that nobody visits: it is replaced at each revocation, and lasts as long as the CA.
  const lifeOfList = { notBefore: new Date(Date.now() - backdateMs), notAfter: new Date(issuer.certificate.validTo) };
  writeFileWhole(join(dir, "crl.pem"), buildRevocationList(revoked, Date.now(), lifeOfList, issuer), 0o644);
}

/** Upper-case hexadecimal. */
export function revokedSerials(dir: string): Set<string> {
  return new Set(filesIn(join(dir, "revoked"), ".json").map((file) => file.slice(0, -".json".length)));
}

function describe(certificate: X509Certificate, revoked: ReadonlySet<string>): IssuedCertificate {
  const { serialNumber: serial, subject } = certificate;
  const field = (key: string): string | undefined =>
    subject
      .split("\n")
      .find((line) => line.startsWith(`${key}=`))
      ?.slice(key.length + 1);
  const role = field("OU");
  const notBefore = new Date(certificate.validFrom);
  const notAfter = new Date(certificate.validTo);
  return {
    serial,
    kind: role === undefined ? "server" : "client",
    name: field("CN") ?? "",
    ...(role === undefined ? {} : { role }),
    notBefore,
    notAfter,
    renewAt: new Date(notBefore.getTime() + ((notAfter.getTime() - notBefore.getTime()) * 2) / 3),
    status: revoked.has(serial) ? "revoked" : notAfter.getTime() < Date.now() ? "expired" : "valid",
  };
}

/** Throws when `text` is not a role. */
export function roleFrom(text: string): Role {
  const role = roles.find((one) => one === text);
  if (role === undefined) throw new Error(`"${text}" is not a role: ${roles.join(", ")}.`);
  return role;
}

function checkName(name: string): void {
  if (!/^[a-z0-9][a-z0-9._-]{0,62}$/u.test(name) || name.includes("..")) {
    throw new Error(
      `"${name}" can't be a client's name: up to 63 lower-case letters, digits, dots, dashes and underscores, beginning with a letter or digit.`,
    );
  }
}

function writeKey(path: string, key: KeyObject): void {
  writeFileWhole(path, String(key.export({ type: "pkcs8", format: "pem" })), 0o600);
}

function filesIn(dir: string, ending: string): string[] {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return readdirSync(dir).filter((file) => file.endsWith(ending));
}

function life(days: number): Life {
  const now = Date.now();
  return { notBefore: new Date(now - backdateMs), notAfter: new Date(now + days * dayMs) };
}
