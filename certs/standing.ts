import type { X509Certificate } from "node:crypto";
import { certificatesIn } from "./pem.ts";
import type { TlsMaterial } from "./tls-material.ts";
import { revocationListIssuer, revocationListLife, revocationListSerials, subjectName } from "./x509.ts";

/** What the files say of a certificate. */
export interface Standing {
  /** `unknown`: no CA of today that issues to clients. */
  readonly issuer: "ours" | "foreign" | "unknown";
  /** It, or a CA above it, is on the revocation list of the one above. */
  readonly isListed: boolean;
  /** When the first of these lists runs out, in ms since 1970. */
  readonly listedUntilMs: number;
}

/** Looks each certificate up once: OpenSSL asks the lists at the handshake, and a connection outlives that. */
export function standings({ ca, crl, issuing, foreign }: TlsMaterial): (certificate: X509Certificate) => Standing {
  const known = new WeakMap<X509Certificate, Standing>();
  const authorities = certificatesIn(ca);
  const lists = crl.map((list) => ({
    issuer: revocationListIssuer(list),
    serials: new Set(revocationListSerials(list)),
    // A list need not say when the next one comes.
    untilMs: revocationListLife(list)?.notAfter.getTime() ?? Number.POSITIVE_INFINITY,
  }));

  const listing = (certificate: X509Certificate, below: readonly X509Certificate[] = []): Omit<Standing, "issuer"> => {
    const by = authorities.find((one) => !below.includes(one) && isIssuedBy(one, certificate));
    if (by === undefined) return { isListed: false, listedUntilMs: Number.POSITIVE_INFINITY };
    const name = subjectName(by);
    const own = lists.filter((list) => list.issuer.equals(name));
    const above = listing(by, [...below, by]);
    return {
      isListed: above.isListed || own.some(({ serials }) => serials.has(certificate.serialNumber)),
      listedUntilMs: Math.min(above.listedUntilMs, Math.max(...own.map(({ untilMs }) => untilMs))),
    };
  };

  return (certificate) => {
    const before = known.get(certificate);
    if (before !== undefined) return before;
    const isOf = (issuers: readonly X509Certificate[]): boolean => issuers.some((one) => isIssuedBy(one, certificate));
    const found: Standing = { issuer: isOf(issuing) ? "ours" : isOf(foreign) ? "foreign" : "unknown", ...listing(certificate) };
    known.set(certificate, found);
    return found;
  };
}

function isIssuedBy(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}
