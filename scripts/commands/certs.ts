import { join } from "node:path";
import { parseArgs } from "node:util";
import { type IssuedCertificate, initAuthority, issueClient, listIssued, revoke, roleFrom, rotateServer } from "../../certs/authority.ts";
import { readConfig } from "../../server/config.ts";
import { type Command, UsageError } from "../command.ts";

const options = {
  role: { type: "string", default: "app" },
  days: { type: "string" },
  reason: { type: "string" },
  dir: { type: "string" },
  json: { type: "boolean", default: false },
} as const;

export const certs: Command = {
  summary: "make, issue, rotate, revoke and list certificates",
  usage: `Usage: npx sallyport certs init | issue NAME | rotate | revoke NAME | list [options]

  init               make the CA, an empty revocation list and the server's certificate, as far as they are missing
  issue NAME         a new key and certificate for a client, in clients/NAME; an earlier one stays valid until revoked
    --role ROLE      app (calls models), operator (also runs the service) or auditor (reads the log). Default: app
    --days N         life. Default: 365
  rotate             a new key and certificate for the server, under the names in sallyport.yaml (tls.names);
    --days N         a running service takes it up within a second, and no stream is dropped. Life, default: 365
  revoke NAME        revoke every valid certificate of a client, or the one with this serial; its connections end at once
    --reason TEXT    kept with the revocation
  list [--json]      every certificate ever issued, newest first

  --dir DIR          certificates directory. Default: DATA/certs`,

  async run(args) {
    const { values, positionals } = parseArgs({ args, allowPositionals: true, options });
    const [action, name, ...rest] = positionals;
    const config = readConfig();
    const dir = values.dir ?? join(config.dataDir, "certs");
    const life = lifeOf(values.days);
    const named = action === "issue" || action === "revoke";
    if (rest.length > 0 || named !== (name !== undefined))
      throw new UsageError(named ? `Say whom: \`certs ${action} NAME\`.` : "Say what to do with the certificates.");
    if (action === "init") {
      const made = initAuthority(dir, config.tls.names);
      console.log(
        made.length === 0
          ? `Nothing to do: ${dir} is complete.`
          : `Made in ${dir}: ${made.join(", ")}.\nClients trust ${join(dir, "ca.pem")}. Next: npx sallyport certs issue NAME`,
      );
    } else if (action === "issue" && name !== undefined) {
      const earlier = listIssued(dir).filter((one) => one.kind === "client" && one.name === name && one.status === "valid");
      const { serial, role, notAfter } = issueClient(dir, name, roleFrom(values.role), life);
      console.log(
        `Issued ${name} (${role}), serial ${serial}, valid until ${day(notAfter)}:\n  ${join(dir, "clients", name, "cert.pem")}\n  ${join(dir, "clients", name, "key.pem")}`,
      );
      for (const one of earlier)
        console.log(`Still valid as well: serial ${one.serial}. Revoke it with \`npx sallyport certs revoke ${one.serial}\`.`);
    } else if (action === "rotate") {
      const { serial, notAfter } = rotateServer(dir, config.tls.names, life);
      console.log(
        `The server has a new key and certificate for ${config.tls.names.join(", ")}: serial ${serial}, valid until ${day(notAfter)}. A running service takes it up within a second.`,
      );
    } else if (action === "revoke" && name !== undefined) {
      const serials = revoke(dir, name, values.reason);
      console.log(`Revoked ${serials.join(", ")}. A running service ends its connections within a second.`);
    } else if (action === "list") {
      const all = listIssued(dir);
      console.log(values.json ? JSON.stringify(all) : table(all));
    } else throw new UsageError("Say what to do: `certs init`, `issue NAME`, `rotate`, `revoke NAME` or `list`.");
    return 0;
  },
};

function lifeOf(days: string | undefined): { lifeDays?: number } {
  if (days === undefined) return {};
  const lifeDays = Number(days);
  if (!Number.isInteger(lifeDays) || lifeDays < 1 || lifeDays > 3_650) throw new UsageError("--days takes a whole number from 1 to 3650.");
  return { lifeDays };
}

function table(all: readonly IssuedCertificate[]): string {
  if (all.length === 0) return "No certificate was issued yet: npx sallyport certs init";
  const row = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => cell.padEnd([34, 8, 20, 10, 9, 12][index] ?? 0))
      .join("")
      .trimEnd();
  const rows = all.map(({ serial, kind, name, role, status, notAfter, renewAt }) =>
    row([serial, kind, name, role ?? "", status, day(notAfter), day(renewAt)]),
  );
  return [row(["SERIAL", "KIND", "NAME", "ROLE", "STATUS", "UNTIL", "RENEW FROM"]), ...rows].join("\n");
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}
