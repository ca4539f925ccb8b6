import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isIP, SocketAddress } from "node:net";
import { join } from "node:path";
import { authorities, newest } from "../../certs/authorities.ts";
import { certificatesIn } from "../../certs/pem.ts";
import { describe, type IssuedCertificate, listIssued, renewAt, revokedAuthority } from "../../certs/register.ts";
import { readTlsMaterial, type TlsMaterial } from "../../certs/tls-material.ts";
import { revocationListIssuer, revocationListLife, subjectLine, subjectName } from "../../certs/x509.ts";
import { readKeyPair } from "../key-pair.ts";
import { type Check, examined } from "./check.ts";
import { refuseOpenKey } from "./data.ts";

/** What the service shows and trusts, and what its clients show. `names`: `tls.names` of the configuration. */
export async function certificates(dir: string, names: readonly string[]): Promise<Check[]> {
  const fit = await examined("certificates", () => authority(dir));
  return [
    ...fit,
    ...(fit.some((one) => one.state === "fail") ? [] : await examined("certificate", () => server(dir, names))),
    ...(await examined("certificate", () => clients(dir))),
  ];
}

function authority(dir: string): Check {
  const name = "certificates";
  const ending = endingOf(readTlsMaterial(dir));
  if (ending?.state === "fail") return { name, ...ending };
  const revoked = revokedAuthority(dir);
  if (revoked !== undefined)
    return {
      name,
      state: "fail",
      detail: `${revoked.kind}/${revoked.number} is revoked, and no client of it counts: npx sallyport certs rotate ${revoked.kind === "roots" ? "--ca" : "--issuing"}, then npx sallyport certs renew, and hand clients their new files`,
    };
  const due = [...authorities(dir, "roots"), ...authorities(dir, "issuing")].filter(
    ({ certificate }) => describe(certificate, new Set()).renewAt.getTime() < Date.now(),
  );
  if (due.length > 0)
    return {
      name,
      state: "warn",
      detail: `${due.map(({ kind, number }) => `${kind}/${number}`).join(", ")} in the last third of its life: npx sallyport certs rotate --ca`,
    };
  if (ending !== undefined) return { name, ...ending };
  const overlap = authorities(dir, "roots").length + authorities(dir, "issuing").length > 2;
  const until = overlap ? "; older CAs count still: npx sallyport certs renew, then npx sallyport certs retire" : "";
  const issuing = join(newest(dir, "issuing").dir, "key.pem");
  if (existsSync(issuing)) return { name, state: overlap ? "warn" : "ok", detail: `${dir}${until}` };
  return {
    name,
    state: "warn",
    detail: `${issuing} is not here: fine when it is kept elsewhere, but issuing and revoking need it${until}`,
  };
}

/** Of what only others can renew, that which ends first. */
function endingOf({ ca, crl, foreign }: TlsMaterial): Omit<Check, "name"> | undefined {
  const known = certificatesIn(ca);
  const listed = crl.flatMap((list) => {
    const life = revocationListLife(list);
    const of = known.find((one) => subjectName(one).equals(revocationListIssuer(list)));
    return life === undefined || of === undefined ? [] : [{ what: `the revocation list of ${subjectLine(of)}`, ...life }];
  });
  const trusted = foreign.map((one) => ({ what: `the CA ${subjectLine(one)}`, ...describe(one, new Set()) }));
  // Of several lists of one CA the newest counts.
  const newestLast = [...listed, ...trusted].toSorted((a, b) => a.notAfter.getTime() - b.notAfter.getTime());
  const first = [...new Map(newestLast.map((one) => [one.what, one])).values()]
    .filter((one) => renewAt(one).getTime() < Date.now())
    .toSorted((a, b) => a.notAfter.getTime() - b.notAfter.getTime())[0];
  if (first === undefined) return undefined;
  const isOver = first.notAfter.getTime() < Date.now();
  const when = isOver ? `ran out on ${day(first.notAfter)}, and nobody of that CA is let in` : `runs out on ${day(first.notAfter)}`;
  return { state: isOver ? "fail" : "warn", detail: `${first.what} ${when}: fetch a newer one (docs/certificates.md)` };
}

function server(dir: string, names: readonly string[]): Check {
  const { subjectAltName = "", validTo } = new X509Certificate(readFileSync(join(dir, "server", "cert.pem")));
  const shown = subjectAltName.split(", ").map((one) => plain(one.replace(/^(?:DNS|IP Address):/u, "")));
  const differ = new Set(shown).symmetricDifference(new Set(names.map(plain)));
  const name = "certificate";
  const found = `server ${shown.join(", ")}, until ${day(new Date(validTo))}`;
  const how = "npx sallyport certs rotate";
  if (differ.size > 0)
    return { name, state: "warn", detail: `${found}; tls.names and the certificate differ in ${[...differ].join(", ")}: ${how}` };
  const shownNow = listIssued(dir).find((one) => one.kind === "server");
  if (shownNow !== undefined && shownNow.renewAt.getTime() < Date.now())
    return { name, state: "warn", detail: `${found}; in its last third: ${how}` };
  return { name, state: "ok", detail: found };
}

/** A name or address in one spelling. */
function plain(name: string): string {
  const version = isIP(name);
  return version === 0 ? name.toLowerCase() : new SocketAddress({ address: name, family: version === 4 ? "ipv4" : "ipv6" }).address;
}

async function clients(dir: string): Promise<Check[]> {
  const issued = listIssued(dir).filter((one) => one.kind === "client");
  const folder = join(dir, "clients");
  const here = (existsSync(folder) ? readdirSync(folder) : []).filter((name) => existsSync(join(folder, name, "key.pem")));
  const names = [...new Set([...here.toSorted(), ...issued.map((one) => one.name)])];
  const checks = names.map((name) =>
    examined("certificate", () => client(name, here.includes(name) ? join(folder, name) : undefined, issued)),
  );
  return (await Promise.all(checks)).flat();
}

/** `dir`: where its key is; without one, the newest certificate of that name is looked at. */
function client(who: string, dir: string | undefined, issued: readonly IssuedCertificate[]): Check {
  const how = `npx sallyport certs issue ${who}`;
  const serial = dir && readKeyPair(dir, `Issue it again: ${how}`).certificate.serialNumber;
  if (dir !== undefined) refuseOpenKey(join(dir, "key.pem"));
  const found = issued.find((one) => (serial === undefined ? one.name === who : one.serial === serial));
  const name = "certificate";
  if (found === undefined) return { name, state: "warn", detail: `client ${who}: this CA did not issue what is in ${dir}: ${how}` };
  const detail = `client ${who} (${found.role}), until ${day(found.notAfter)}`;
  if (found.status !== "valid") return { name, state: "warn", detail: `${detail}; ${found.status}: ${how}` };
  if (found.renewAt.getTime() < Date.now()) return { name, state: "warn", detail: `${detail}; in its last third: ${how}` };
  return { name, state: "ok", detail };
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}
