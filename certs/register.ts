import type { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Authority, authorities, certificateOf, newest } from "./authorities.ts";

/** What the register of a certificates directory says of one: `issued/SERIAL.pem`, and `revoked/SERIAL.json` when it was revoked. */
export interface IssuedCertificate {
  readonly serial: string;
  readonly kind: "ca" | "server" | "client";
  readonly name: string;
  /** Of a client. */
  readonly role?: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly renewAt: Date;
  /** `retired`: no CA that counts today has issued it. */
  readonly status: "valid" | "expired" | "revoked" | "retired";
}

/** Every certificate ever issued, newest first. Throws a sentence that names the file when one of the register is damaged. */
export function listIssued(dir: string): IssuedCertificate[] {
  const revoked = revokedSerials(dir);
  const today = [...authorities(dir, "issuing"), ...authorities(dir, "roots")]
    .map((one) => one.certificate)
    .filter(({ serialNumber }) => !revoked.has(serialNumber));
  const counts = (certificate: X509Certificate): boolean =>
    certificate.ca ? today.some((one) => one.serialNumber === certificate.serialNumber) : today.some((one) => certificate.checkIssued(one));
  return filesIn(join(dir, "issued"), ".pem")
    .map((file) => join(dir, "issued", file))
    .map((file) => certificateOf(file, readFileSync(file, "utf8")))
    .map((certificate) => {
      const found = describe(certificate, revoked);
      return found.status !== "valid" || counts(certificate) ? found : { ...found, status: "retired" as const };
    })
    .toSorted((a, b) => b.notBefore.getTime() - a.notBefore.getTime() || a.serial.localeCompare(b.serial));
}

/** Upper-case hexadecimal. */
export function revokedSerials(dir: string): Set<string> {
  return new Set(
    filesIn(join(dir, "revoked"), ".json")
      .map((file) => file.slice(0, -".json".length))
      .filter((serial) => /^[0-9A-F]+$/u.test(serial)),
  );
}

/** Of the newest root and the newest issuing CA, the first that is revoked: whoever shows a certificate of it is refused. */
export function revokedAuthority(dir: string): Authority | undefined {
  const revoked = revokedSerials(dir);
  return [newest(dir, "roots"), newest(dir, "issuing")].find(({ certificate }) => revoked.has(certificate.serialNumber));
}

/** Two thirds through a life: time for the next. */
export function renewAt({ notBefore, notAfter }: { readonly notBefore: Date; readonly notAfter: Date }): Date {
  return new Date(notBefore.getTime() + ((notAfter.getTime() - notBefore.getTime()) * 2) / 3);
}

/** What a certificate says of itself, and whether it counts now. */
export function describe(certificate: X509Certificate, revoked: ReadonlySet<string>): IssuedCertificate {
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
    kind: certificate.ca ? "ca" : role === undefined ? "server" : "client",
    name: field("CN") ?? "",
    ...(role === undefined ? {} : { role }),
    notBefore,
    notAfter,
    renewAt: renewAt({ notBefore, notAfter }),
    status: revoked.has(serial) ? "revoked" : notAfter.getTime() < Date.now() ? "expired" : "valid",
  };
}

/** None when there is no such directory yet. */
function filesIn(dir: string, ending: string): string[] {
  try {
    return readdirSync(dir).filter((file) => file.endsWith(ending));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return []; // what `readdirSync` throws
    throw error;
  }
}
