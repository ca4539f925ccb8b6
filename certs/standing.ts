import type { X509Certificate } from "node:crypto";
import { certificatesIn } from "./pem.ts";
import type { TlsMaterial } from "./tls-material.ts";
import { revocationListIssuer, revocationListLife, revocationListSerials, subjectName } from "./x509.ts";

type IssuersOf = (certificate: X509Certificate) => readonly X509Certificate[];

/** What the files say of a certificate. OpenSSL asks them at the handshake, and a connection outlives that. */
export interface Standing {
  /** `unknown`: no CA of today that issues to clients. */
  readonly issuer: "ours" | "foreign" | "unknown";
  /** It, or a CA above it, is on the revocation list of the one above. */
  readonly isListed: boolean;
  /** When the first of these lists runs out, in ms since 1970. */
  readonly listedUntilMs: number;
}

/** Which of these CAs (PEM) have issued a certificate: a signature is verified once, however often the lists change. */
export function issuersIn(ca: string): IssuersOf {
  const authorities = certificatesIn(ca);
  const known = new WeakMap<X509Certificate, readonly X509Certificate[]>();
  return (certificate) => {
    const found = known.get(certificate) ?? authorities.filter((one) => certificate.checkIssued(one) && certificate.verify(one.publicKey));
    known.set(certificate, found);
    return found;
  };
}

/** `issuersOf`: of the CAs of the same files. */
export function standings({ crl, issuing, foreign }: TlsMaterial, issuersOf: IssuersOf): (certificate: X509Certificate) => Standing {
  const lists = Map.groupBy(
    crl.map((list) => ({
      serials: new Set(revocationListSerials(list)),
      // A list need not say when the next one comes.
      untilMs: revocationListLife(list)?.notAfter.getTime() ?? Number.POSITIVE_INFINITY,
      issuer: revocationListIssuer(list).toString("hex"),
    })),
    ({ issuer }) => issuer,
  );
  const names = new WeakMap<X509Certificate, string>();
  const nameOf = (authority: X509Certificate): string => {
    const name = names.get(authority) ?? subjectName(authority).toString("hex");
    names.set(authority, name);
    return name;
  };

  const listing = (certificate: X509Certificate, below: readonly X509Certificate[] = []): Omit<Standing, "issuer"> => {
    const by = issuersOf(certificate).find((one) => !below.includes(one));
    if (by === undefined) return { isListed: false, listedUntilMs: Number.POSITIVE_INFINITY };
    const own = lists.get(nameOf(by)) ?? [];
    const above = listing(by, [...below, by]);
    return {
      isListed: above.isListed || own.some(({ serials }) => serials.has(certificate.serialNumber)),
      listedUntilMs: Math.min(above.listedUntilMs, Math.max(...own.map(({ untilMs }) => untilMs))),
    };
  };

  return (certificate) => {
    const isOf = (authorities: readonly X509Certificate[]): boolean =>
      issuersOf(certificate).some(({ raw }) => authorities.some((one) => one.raw.equals(raw)));
    return { issuer: isOf(issuing) ? "ours" : isOf(foreign) ? "foreign" : "unknown", ...listing(certificate) };
  };
}
