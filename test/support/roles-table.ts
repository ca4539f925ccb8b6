import { type Role, roles } from "../../certs/identity.ts";
import type { Operation } from "../../server/http/operation.ts";

/** What an auditor has beside the certificates. The newest entries stand in the write-ahead log alone while the service runs. */
export const auditorFiles: readonly string[] = ["keys/audit.key", "audit.db", "audit.db-wal", "audit.head"];

/**
 * Whose files of an installation a command needs. The command line has no accounts: what an operating system's user may do is what it may read. An `app` has
 * `ca.pem` and its own pair, an `auditor` also `auditorFiles`, an `operator` the data directory.
 */
export const commandRoles: Readonly<Record<string, readonly Role[]>> = {
  serve: ["operator"],
  call: ["app", "operator"],
  doctor: ["operator"],
  "certs issue": ["operator"],
  "certs renew": ["operator"],
  "certs rotate": ["operator"],
  "certs retire": ["operator"],
  "certs revoke": ["operator"],
  "certs list": ["operator"],
  "certs install": ["operator"],
  "certs export": ["app", "operator", "auditor"],
  "audit verify": ["operator", "auditor"],
  "audit search": ["operator", "auditor"],
  "audit export": ["operator", "auditor"],
  "audit checkpoint": ["operator", "auditor"],
  "audit rotate-key": ["operator", "auditor"],
  backup: ["operator"],
  restore: ["operator"],
  attest: ["operator", "auditor"],
  "attest --verify": ["app", "operator", "auditor"],
  classify: ["app", "operator", "auditor"],
  "models list": ["app", "operator", "auditor"],
  "models verify": ["app", "operator", "auditor"],
};

/** They make something new, or measure: nobody's files are needed. */
export const commandsForAll: readonly string[] = ["setup", "certs init", "certs request", "bundle", "bench", "models pull", "models add"];

/** `docs/roles.md`. */
export function rolesTable(operations: readonly Pick<Operation, "method" | "path" | "roles">[]): string {
  const rows = [
    ...operations.map(({ method, path, roles: allowed = roles }) => [`\`${method} ${path}\``, allowed] as const),
    ...Object.entries(commandRoles).map(([command, allowed]) => [`\`${command}\``, allowed] as const),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const line = (name: string, cells: readonly string[]): string =>
    `| ${name.padEnd(width)} | ${cells.map((cell, index) => cell.padEnd(roles[index]?.length ?? 0)).join(" | ")} |`;
  return `# Roles

Held against the code, cell by cell, by \`test/roles.test.ts\`. An endpoint asks the certificate. A command needs files: an app has \`ca.pem\` and its own certificate and key,
an auditor also ${auditorFiles.map((file) => `\`${file}\``).join(", ")}, an operator the whole data directory. \`audit.db-wal\` is there while the service
runs, and holds the newest entries; copies of the log's files are taken together, while no call is answered. Commands that are not here
(${commandsForAll.map((command) => `\`${command}\``).join(", ")}) need none of an installation's secrets.

${line("", roles)}
${line(
  "-".repeat(width),
  roles.map((role) => "-".repeat(role.length)),
)}
${rows
  .map(([name, allowed]) =>
    line(
      name,
      roles.map((role) => (allowed.includes(role) ? "yes" : "")),
    ),
  )
  .join("\n")}
`;
}
