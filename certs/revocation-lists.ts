import type { X509Certificate } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { authorities, hasKey, issuerOf, lifeOf } from "./authorities.ts";
import { certificatesIn, revocationListsIn } from "./pem.ts";
import { revokedSerials } from "./register.ts";
import { writeFileWhole } from "./write-file.ts";
import { buildRevocationList, type Issuer, revocationListIssuer, subjectLine, subjectName } from "./x509.ts";

/**
 * Writes `crl.pem`: a list of each CA, and of `more`, CAs that are about to count. A list whose CA has its key elsewhere stays as it was. Each holds every
 * serial that was ever revoked: serials are random, so those of another CA do no harm there.
 *
 * A list that ran out would lock everybody out of a host that nobody visits: it is replaced at each revocation, and lasts as long as its CA.
 */
export function writeRevocationLists(dir: string, more: readonly Issuer[] = []): void {
  // That the file is there revokes; its own date is near enough to when.
  const revoked = [...revokedSerials(dir)].map((serial) => ({ serial, at: statSync(join(dir, "revoked", `${serial}.json`)).mtime }));
  const known = readLists(dir);
  const listOf = (issuer: Issuer): string => buildRevocationList(revoked, Date.now(), lifeOf(36_500, issuer.certificate), issuer);
  const kept = (certificate: X509Certificate): string => {
    const list = known.find((one) => revocationListIssuer(one).equals(subjectName(certificate)));
    if (list === undefined)
      throw new Error(
        `crl.pem holds no list of ${subjectLine(certificate)}, whose key is not here to sign one. Put it there, from where it is kept.`,
      );
    return list;
  };
  const lists = [...authorities(dir, "issuing"), ...authorities(dir, "roots")].flatMap((authority) => {
    const [own, ...between] = certificatesIn(authority.pem);
    return [hasKey(authority) ? listOf(issuerOf(authority)) : kept(own ?? authority.certificate), ...between.map(kept)];
  });
  writeFileWhole(join(dir, "crl.pem"), [...new Set([...more.map(listOf), ...lists])].join(""), 0o644);
}

/** Whether `crl.pem` lacks the list of a CA whose key is here: a revocation at the same time as a rotation left it so. */
export function lacksList(dir: string): boolean {
  let listed: Buffer[];
  try {
    listed = readLists(dir).map(revocationListIssuer);
  } catch {
    return false; // a damaged file is named by whoever reads it
  }
  return [...authorities(dir, "roots"), ...authorities(dir, "issuing")].some(
    (one) => hasKey(one) && !listed.some((issuer) => issuer.equals(subjectName(one.certificate))),
  );
}

/** Puts lists that other CAs signed in the place of those that they replace. */
export function installRevocationLists(dir: string, lists: readonly string[]): void {
  const replaced = lists.map(revocationListIssuer);
  const others = readLists(dir).filter((one) => !replaced.some((issuer) => issuer.equals(revocationListIssuer(one))));
  writeFileWhole(join(dir, "crl.pem"), [...others, ...lists].join(""), 0o644);
}

function readLists(dir: string): string[] {
  const file = join(dir, "crl.pem");
  return existsSync(file) ? revocationListsIn(readFileSync(file, "utf8")) : [];
}
