import type { X509Certificate } from "node:crypto";

/** What a certificate may be used for: `app` calls models, `operator` also runs the service, `auditor` reads the log. */
export const roles = ["app", "operator", "auditor"] as const;
export type Role = (typeof roles)[number];

/** Who a client certificate says its holder is. */
export interface Identity {
  readonly name: string;
  readonly role: Role;
  /** Upper-case hexadecimal. */
  readonly serial: string;
}

/** Whom the certificates of another CA name: `*` in the pattern stands for what goes into `name`. */
export interface IdentityRule {
  /** An alternative name, with its kind: `URI:spiffe://bank.example/app/*`, `DNS:*.apps.bank.example`, `email:*@bank.example`. */
  readonly san?: string | undefined;
  /** The subject, as `openssl x509 -subject -nameopt RFC2253` without its order turned: `O=Bank,OU=Treasury,CN=*`. */
  readonly subject?: string | undefined;
  readonly role: Role;
  readonly name: string;
}

/** Reads a certificate that TLS has verified and a CA of ours has issued: the name is its common name, the role its organizational unit. Throws when it has no role. */
export function identityOf(certificate: X509Certificate): Identity {
  const { OU, CN } = certificate.toLegacyObject().subject as { OU?: unknown; CN?: unknown }; // the types say strings; repeated parts come as lists
  const role = roles.find((one) => one === OU);
  if (role === undefined || typeof CN !== "string" || CN === "") throw new Error("The certificate names no role.");
  return { name: CN, role, serial: certificate.serialNumber };
}

/** Reads a certificate that TLS has verified and a CA of others has issued, by the first rule that fits. Throws when none does. */
export function identityByRule(certificate: X509Certificate, rules: readonly IdentityRule[]): Identity {
  const names = alternativeNames(certificate.subjectAltName ?? "");
  const subject = certificate.subject?.replaceAll("\n", ",") ?? "";
  for (const { san, subject: wanted, role, name } of rules) {
    const found = san === undefined ? [matched(wanted ?? "", subject)] : names.map((one) => matched(san, one));
    const star = found.find((one) => one !== undefined);
    if (star !== undefined) return { name: name.replace("*", () => star), role, serial: certificate.serialNumber };
  }
  throw new Error("No rule of tls.identities names the holder of this certificate.");
}

/** Throws when `text` is not a role. */
export function roleFrom(text: string): Role {
  const role = roles.find((one) => one === text);
  if (role === undefined) throw new Error(`"${text}" is not a role: ${roles.join(", ")}.`);
  return role;
}

/** Throws when a client can't have this name, which is also a directory's. */
export function checkName(name: string): void {
  if (!/^[a-z0-9][a-z0-9._-]{0,62}$/u.test(name) || name.includes("..")) {
    throw new Error(
      `"${name}" can't be a client's name: up to 63 lower-case letters, digits, dots, dashes and underscores, beginning with a letter or digit.`,
    );
  }
}

/** What `*` stands for; the empty text where the pattern has none. It never reaches over a comma, a slash or an escape, so that nobody writes himself into another part. */
function matched(pattern: string, text: string): string | undefined {
  const [before = "", after] = pattern.split("*");
  if (after === undefined) return text === pattern ? "" : undefined;
  if (text.length <= before.length + after.length || !text.startsWith(before) || !text.endsWith(after)) return undefined;
  const star = text.slice(before.length, text.length - after.length);
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u.test(star) ? star : undefined;
}

/** Node writes `DNS:a, URI:b`, and a name with anything odd in it as a JSON string: `DNS:"a, b"`. What does not read so counts as no name. */
function alternativeNames(text: string): string[] {
  const one = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/uy;
  const names: string[] = [];
  while (one.lastIndex < text.length) {
    const found = one.exec(text);
    if (found === null) return [];
    if (!found[2]?.startsWith('"')) names.push(`${found[1]}:${found[2]}`);
  }
  return names;
}
