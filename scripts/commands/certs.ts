import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { initAuthority, issueClient, revoke, rotateServer } from "../../certs/authority.ts";
import { checkName, type Role, roleFrom } from "../../certs/identity.ts";
import { type IssuedCertificate, listIssued } from "../../certs/register.ts";
import { readConfig } from "../../server/config.ts";
import { type Command, CommandError, refuseOthers, UsageError } from "../command.ts";

const options = {
  role: { type: "string" },
  days: { type: "string" },
  reason: { type: "string" },
  dir: { type: "string" },
  json: { type: "boolean" },
} as const;

/** What each action takes besides `--dir`. */
const taken: Record<string, readonly string[]> = {
  init: [],
  issue: ["role", "days"],
  rotate: ["days"],
  revoke: ["reason"],
  list: ["json"],
};

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
    const [action = "", name, ...rest] = positionals;
    const allowed = Object.hasOwn(taken, action) ? taken[action] : undefined;
    if (allowed === undefined) throw new UsageError("Say what to do: `certs init`, `issue NAME`, `rotate`, `revoke NAME` or `list`.");
    const named = action === "issue" || action === "revoke";
    if (rest.length > 0 || named !== (name !== undefined))
      throw new UsageError(named ? `Say whom, in one word: \`certs ${action} NAME\`.` : `\`certs ${action}\` takes no name.`);
    refuseOthers(`certs ${action}`, values, ["dir", ...allowed]);
    const config = readConfig();
    const dir = values.dir ?? join(config.dataDir, "certs");
    if (action === "init") init(dir, config.tls.names);
    else if (!existsSync(dir)) throw new CommandError(`There are no certificates in ${dir}. Make them with \`npx sallyport certs init\`.`);
    else if (action === "issue" && name !== undefined) {
      usable(() => checkName(name));
      issue(
        dir,
        name,
        usable(() => roleFrom(values.role ?? "app")),
        lifeOf(values.days),
      );
    } else if (action === "rotate") rotate(dir, config.tls.names, lifeOf(values.days));
    else if (action === "revoke" && name !== undefined) {
      const serials = revoke(dir, name, values.reason);
      console.log(`Revoked ${serials.join(", ")}. A running service ends its connections within a second.`);
    } else {
      const all = listIssued(dir);
      console.log(values.json ? JSON.stringify(all) : table(all));
    }
    return 0;
  },
};

function init(dir: string, names: readonly string[]): void {
  const made = initAuthority(dir, names);
  console.log(
    made.length === 0
      ? `Nothing to do: ${dir} is complete.`
      : `Made in ${dir}: ${made.join(", ")}.\nClients trust ${join(dir, "ca.pem")}. Next: npx sallyport certs issue NAME`,
  );
}

function issue(dir: string, name: string, role: Role, life: Life): void {
  const earlier = listIssued(dir).filter((one) => one.kind === "client" && one.name === name && one.status === "valid");
  const { serial, notAfter } = issueClient(dir, name, role, life);
  console.log(
    `Issued ${name} (${role}), serial ${serial}, valid until ${day(notAfter)}:\n  ${join(dir, "clients", name, "cert.pem")}\n  ${join(dir, "clients", name, "key.pem")}`,
  );
  for (const one of earlier)
    console.log(`Still valid as well: serial ${one.serial}. Revoke it with \`npx sallyport certs revoke ${one.serial}\`.`);
}

function rotate(dir: string, names: readonly string[], life: Life): void {
  const { serial, notAfter } = rotateServer(dir, names, life);
  console.log(
    `The server has a new key and certificate for ${names.join(", ")}: serial ${serial}, valid until ${day(notAfter)}. A running service takes it up within a second.`,
  );
}

/** What `check` returns; what it throws is wrong usage. */
function usable<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

interface Life {
  readonly lifeDays?: number;
}

function lifeOf(days: string | undefined): Life {
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
