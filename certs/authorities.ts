import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileWhole } from "./write-file.ts";
import type { Issuer, Life } from "./x509.ts";

export type AuthorityKind = "roots" | "issuing";

/** A CA of a certificates directory: `roots/N` or `issuing/N`. */
export interface Authority {
  readonly kind: AuthorityKind;
  readonly number: number;
  readonly dir: string;
  readonly certificate: X509Certificate;
  /** What is shown with it: its certificate, and those between it and a root. */
  readonly pem: string;
  /** Of a root: its key under the root before, for those who trust only that one. */
  readonly cross: string | undefined;
}

/** Clocks of clients and servers differ: a new certificate is valid from five minutes ago. */
const backdateMs = 5 * 60_000;

/** The CAs that count, newest first: those that have a certificate. A key alone is what an interrupted rotation left, or waits for a certificate. */
export function authorities(dir: string, kind: AuthorityKind): Authority[] {
  return numbersIn(join(dir, kind))
    .toSorted((a, b) => b - a)
    .flatMap((number) => {
      const own = join(dir, kind, String(number));
      const file = join(own, "cert.pem");
      if (!existsSync(file)) return [];
      const pem = readFileSync(file, "utf8");
      const cross = join(own, "cross.pem");
      return [
        {
          kind,
          number,
          dir: own,
          certificate: certificateOf(file, pem),
          pem,
          cross: existsSync(cross) ? readFileSync(cross, "utf8") : undefined,
        },
      ];
    });
}

/** The newest CA of a kind. Throws a sentence where there is none. */
export function newest(dir: string, kind: AuthorityKind): Authority {
  const [first] = authorities(dir, kind);
  if (first !== undefined) return first;
  throw new Error(`There is no certificate authority in ${dir}. Make one with \`npx sallyport certs init\`.`);
}

/** Takes the next number of a kind for a new CA, for this process alone. Returns its directory. */
export function claim(dir: string, kind: AuthorityKind): { number: number; dir: string } {
  mkdirSync(join(dir, kind), { recursive: true, mode: 0o700 });
  const number = Math.max(0, ...numbersIn(join(dir, kind))) + 1;
  const own = join(dir, kind, String(number));
  mkdirSync(own, { mode: 0o700 });
  return { number, dir: own };
}

/** What signs in the name of a CA. Throws a sentence when its key is not here. */
export function issuerOf({ dir, certificate, kind }: Authority): Issuer {
  const file = join(dir, "key.pem");
  if (!existsSync(file))
    throw new Error(
      `${file} is missing: without the key of the ${kind === "roots" ? "root" : "issuing CA"} that can't be signed. Put it there, from where it is kept.`,
    );
  return { certificate, key: readKey(file) };
}

export function hasKey({ dir }: Authority): boolean {
  return existsSync(join(dir, "key.pem"));
}

/** Throws a sentence that names the file. */
export function readKey(file: string): KeyObject {
  try {
    return createPrivateKey(readFileSync(file));
  } catch (cause) {
    throw new Error(`${file} is no private key, or damaged. Restore it from a backup.`, { cause });
  }
}

export function writeKey(path: string, key: KeyObject): void {
  writeFileWhole(path, String(key.export({ type: "pkcs8", format: "pem" })), 0o600);
}

/** A life from now on. Nothing outlives what signed it. */
export function lifeOf(days: number, within?: X509Certificate): Life {
  const wanted = new Date(Date.now() + days * 86_400_000);
  const end = within === undefined ? wanted : new Date(within.validTo);
  return { notBefore: new Date(Date.now() - backdateMs), notAfter: wanted < end ? wanted : end };
}

/** Throws a sentence that names the file. */
export function certificateOf(file: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new Error(`${file} is no certificate, or damaged. Restore it from a backup.`, { cause });
  }
}

function numbersIn(dir: string): number[] {
  return existsSync(dir)
    ? readdirSync(dir)
        .filter((name) => /^[1-9]\d{0,5}$/u.test(name))
        .map(Number)
    : [];
}
