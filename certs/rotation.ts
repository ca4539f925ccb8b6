import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Authority, authorities, issuerOf, newest } from "./authorities.ts";
import { addIssuing, addRoot, chainFor, fittingCertificate, issueClient, markRevoked, rotateServer, writeTrusted } from "./authority.ts";
import { roleFrom } from "./identity.ts";
import { certificatesIn } from "./pem.ts";
import { type IssuedCertificate, listIssued } from "./register.ts";
import { writeRevocationLists } from "./revocation-lists.ts";
import { writeFileWhole } from "./write-file.ts";
import { subjectLine } from "./x509.ts";

/**
 * A new issuing CA, and a server's certificate of it. Certificates of the one before stay good until `retire`. Each step leaves a directory that serves:
 * an interrupted rotation is finished by doing it again, or by `initAuthority`.
 */
export function rotateIssuing(dir: string, names: readonly string[]): IssuedCertificate {
  addIssuing(dir);
  return rotateServer(dir, names);
}

/**
 * A new root with a new issuing CA. The root before signs the new one's key (RFC 4210 §4.4), and the server shows that, so that clients which trust only
 * the old one go on; new and old are in `ca.pem` until `retire`.
 */
export function rotateRoot(dir: string, names: readonly string[]): IssuedCertificate {
  addRoot(dir);
  addIssuing(dir);
  writeTrusted(dir);
  return rotateServer(dir, names);
}

/** Valid certificates of clients that an older CA issued: whoever shows one is refused after `retire`. */
export function notRenewed(dir: string): IssuedCertificate[] {
  const { certificate } = newest(dir, "issuing");
  const newestOf = new Map<string, IssuedCertificate>();
  for (const one of listIssued(dir)) {
    if (one.kind === "client" && one.status === "valid" && !newestOf.has(one.name)) newestOf.set(one.name, one);
  }
  return [...newestOf.values()].filter((one) => !leaf(dir, one.serial).checkIssued(certificate));
}

/** Ends an overlap: only the newest root and the newest issuing CA count from here on. The keys of the others are deleted. Returns what it retired. */
export function retire(dir: string): string[] {
  const [roots, issuing] = [authorities(dir, "roots"), authorities(dir, "issuing")] as const;
  const [[root, ...oldRoots], [current, ...oldIssuing]] = [roots, issuing];
  if (root === undefined || current === undefined) throw new Error(`There is no certificate authority in ${dir}.`);
  const old = [...oldIssuing, ...oldRoots];
  if (old.length === 0 && root.cross === undefined) {
    // Cut off after an old root was removed, it is trusted until `ca.pem` is written.
    if (!writeTrusted(dir)) return [];
    writeRevocationLists(dir);
    return ["what ca.pem still held"];
  }
  if (!certificatesIn(current.pem).at(-1)?.verify(root.certificate.publicKey))
    throw new Error(
      "The newest issuing CA is not of the newest root: finish the rotation first, with `npx sallyport certs rotate --issuing`.",
    );
  // Of the same root, an old issuing CA would be believed still if a client showed it: the root's list says no.
  if (oldIssuing.some((one) => one.certificate.verify(root.certificate.publicKey))) issuerOf(root);
  for (const { certificate } of oldIssuing) markRevoked(dir, certificate.serialNumber, "superseded");
  writeRevocationLists(dir);
  for (const one of roots) rmSync(join(one.dir, "cross.pem"), { force: true });
  shorten(dir);
  for (const one of oldIssuing) remove(one);
  for (const one of oldRoots) remove(one);
  writeTrusted(dir);
  writeRevocationLists(dir);
  return old.map(({ kind, number, certificate }) => `${kind}/${number} (${subjectLine(certificate)})`);
}

/**
 * Gives the clients whose key is here a new key and certificate, where the one they have is due: two thirds of its life are over, an older CA issued it, or it
 * does not fit its key. A key without a certificate is what an interrupted `issueClient` left: it gets one when it is the one named.
 */
export function renewClients(dir: string, only?: string): IssuedCertificate[] {
  const folder = join(dir, "clients");
  const has = (name: string, file: string): boolean => existsSync(join(folder, name, file));
  const names = clientsIn(dir).filter((name) => has(name, "key.pem") && (has(name, "cert.pem") || name === only));
  if (only !== undefined && !names.includes(only))
    throw new Error(
      `${join(folder, only)} holds no key: renew where the key is, with a request (\`npx sallyport certs issue ${only} --csr FILE\`).`,
    );
  const { certificate: issuing } = newest(dir, "issuing");
  const issued = listIssued(dir);
  return names
    .filter((name) => only === undefined || name === only)
    .flatMap((name) => {
      const shown = fittingCertificate(join(folder, name));
      const own = issued.find((one) => one.serial === shown?.serialNumber);
      const before = own ?? issued.find((one) => one.kind === "client" && one.name === name);
      if (before?.role === undefined || before.status === "revoked") return [];
      const isDue = only !== undefined || own === undefined || own.renewAt.getTime() < Date.now() || !shown?.checkIssued(issuing);
      return isDue ? [issueClient(dir, name, roleFrom(before.role), lasting(before))] : [];
    });
}

/** As long as the one before. */
function lasting({ notBefore, notAfter }: IssuedCertificate): { lifeDays: number } {
  return { lifeDays: Math.max(1, Math.round((notAfter.getTime() - notBefore.getTime()) / 86_400_000)) };
}

/** The server and the clients here show the new root itself, without those before. */
function shorten(dir: string): void {
  const { certificate } = newest(dir, "issuing");
  const folders = ["server", ...clientsIn(dir).map((name) => join("clients", name))].map((name) => join(dir, name, "cert.pem"));
  for (const file of folders.filter((one) => existsSync(one))) {
    const own = new X509Certificate(readFileSync(file));
    if (own.checkIssued(certificate)) writeFileWhole(file, chainFor(dir, `${own.toString().trim()}\n`), 0o644);
  }
}

/** None when none was issued here yet. */
function clientsIn(dir: string): string[] {
  const folder = join(dir, "clients");
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** Takes a CA out: first its certificate, without which it does not count, then its key. What it was stays in `issued/`. */
function remove({ dir: own }: Authority): void {
  rmSync(join(own, "cert.pem"));
  rmSync(own, { recursive: true });
}

function leaf(dir: string, serial: string): X509Certificate {
  return new X509Certificate(readFileSync(join(dir, "issued", `${serial}.pem`)));
}
