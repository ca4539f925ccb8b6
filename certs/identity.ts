import type { PeerCertificate } from "node:tls";

/** What a certificate may be used for: `app` calls models, `operator` also runs the service, `auditor` reads the log. */
export const roles = ["app", "operator", "auditor"] as const;
export type Role = (typeof roles)[number];

/** Who a client certificate says its holder is. */
export interface Identity {
  readonly name: string;
  readonly role: Role;
  /** Upper-case hexadecimal. */
  readonly serial: string;
  readonly notAfter: Date;
}

/** Reads a certificate that TLS has verified: the name is its common name, the role its organizational unit. Throws when it has no role of ours. */
export function identityOf({ subject, serialNumber, valid_to }: PeerCertificate): Identity {
  const role = roles.find((one) => one === subject?.OU);
  if (role === undefined || typeof subject.CN !== "string") throw new Error("The certificate names no role.");
  return { name: subject.CN, role, serial: serialNumber, notAfter: new Date(valid_to) };
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
