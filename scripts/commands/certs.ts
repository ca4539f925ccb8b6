import { createPrivateKey } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { newest } from "../../certs/authorities.ts";
import { initAuthority, issueClient, issueRequested, revoke, rotateServer } from "../../certs/authority.ts";
import { checkName, roleFrom } from "../../certs/identity.ts";
import { isThere } from "../../certs/is-there.ts";
import { installIssuing, requestIssuing } from "../../certs/own-root.ts";
import { buildPkcs12 } from "../../certs/pkcs12.ts";
import { type IssuedCertificate, listIssued } from "../../certs/register.ts";
import { notRenewed, renewClients, retire, rotateIssuing, rotateRoot } from "../../certs/rotation.ts";
import { writeFileWhole } from "../../certs/write-file.ts";
import { refuseHalfRestored } from "../../server/audit/lock.ts";
import { readConfig } from "../../server/config.ts";
import { issueAgain } from "../broken-connection.ts";
import { type Command, refuseOthers, UsageError } from "../command.ts";
import { readKeyPair } from "../key-pair.ts";
import { wholeFrom } from "../option-number.ts";

const options = {
  role: { type: "string" },
  days: { type: "string" },
  csr: { type: "string" },
  reason: { type: "string" },
  issuing: { type: "boolean" },
  ca: { type: "boolean" },
  force: { type: "boolean" },
  out: { type: "string" },
  "password-file": { type: "string" },
  dir: { type: "string" },
  json: { type: "boolean" },
} as const;

/** What each action takes besides `--dir`, and whether it takes a name, or a file. */
const actions: Readonly<Record<string, { readonly options: readonly string[]; readonly name: "none" | "one" | "may" | "file" }>> = {
  init: { options: [], name: "none" },
  issue: { options: ["role", "days", "csr"], name: "one" },
  renew: { options: [], name: "may" },
  export: { options: ["out", "password-file"], name: "one" },
  rotate: { options: ["days", "issuing", "ca"], name: "none" },
  retire: { options: ["force"], name: "none" },
  request: { options: ["out"], name: "none" },
  install: { options: [], name: "file" },
  revoke: { options: ["reason"], name: "one" },
  list: { options: ["json"], name: "none" },
};

export const certs: Command = {
  usage: `Usage: npx sallyport certs init | issue NAME | renew [NAME] | export NAME | rotate | retire | request | install FILE |
                           revoke NAME | list [options]

  init               make the root, the CA that issues, revocation lists and the server's certificate, as far as they are missing
  issue NAME         a new key and certificate for a client, in clients/NAME; an earlier one stays valid until revoked
    --role ROLE      app (calls models), operator (also runs the service) or auditor (reads the log). Default: app
    --days N         life. Default: 365
    --csr FILE       of this request (PKCS #10, PEM) the key is certified, so that the private key never travels
  renew [NAME]       new keys and certificates for the clients whose key is here and due: two thirds of its life are over, an older
                     CA issued it, or it does not fit its key; with NAME, that one in any case. The server's
                     certificate as well. For a daily timer
  export NAME        key, certificate and CAs of a client as one file (PKCS #12)
    --out FILE         where to
    --password-file F  its first line is the password, 12 characters at least
  rotate             a new key and certificate for the server, under the names in sallyport.yaml (tls.names);
    --days N         a running service takes it up within a second, and no stream is dropped. Life, default: 365
    --issuing        a new issuing CA first; certificates of the one before stay good until \`retire\`
    --ca             a new root and a new issuing CA first; old and new are both good until \`retire\`. Then hand the new ca.pem
                     to clients, and \`renew\`
  retire [--force]   end the overlap: older roots and issuing CAs count no more, their keys are deleted. Refused while a client shows
                     a certificate of theirs, unless forced
  request            a key for an issuing CA under a root of your own, and the request that your CA signs
    --out FILE         where the request goes. Default: issuing.csr
  install FILE       take up the issuing CA that your CA has signed: PEM with it, the CAs up to the root, and their revocation lists;
                     or newer revocation lists only
  revoke NAME        revoke every valid certificate of a client, or the one with this serial; its connections end within two seconds
    --reason TEXT    kept with the revocation
  list [--json]      every certificate ever issued, newest first

  --dir DIR          certificates directory. Default: DATA/certs`,

  async run(args) {
    const { values, positionals } = parseArgs({ args, allowPositionals: true, options });
    const [action = "", name, ...rest] = positionals;
    const taken = Object.hasOwn(actions, action) ? actions[action] : undefined;
    if (taken === undefined) throw new UsageError(`Say what to do: \`certs ${Object.keys(actions).join("`, `")}\`.`);
    if (taken.name === "none" ? name !== undefined : rest.length > 0 || (taken.name !== "may" && name === undefined))
      throw new UsageError(
        {
          none: `\`certs ${action}\` takes no name.`,
          file: `Say which file: \`certs ${action} FILE\`.`,
          one: `Say whom, in one word: \`certs ${action} NAME\`.`,
          may: `Name one, or none for all: \`certs ${action} NAME\`.`,
        }[taken.name],
      );
    refuseOthers(`certs ${action}`, values, ["dir", ...taken.options]);
    const { dataDir, tls } = readConfig();
    if (values.dir === undefined) refuseHalfRestored(dataDir);
    const dir = values.dir ?? join(dataDir, "certs");
    if (action !== "init" && !isThere(dir))
      throw new Error(`There are no certificates in ${dir}. Make them with \`npx sallyport certs init\`.`);
    if (action === "init") init(dir, tls.names);
    else if (action === "issue") issue(dir, name ?? "", values);
    else if (action === "renew") renew(dir, tls.names, name);
    else if (action === "export") exportTo(dir, name ?? "", values.out, values["password-file"]);
    else if (action === "rotate") rotate(dir, tls.names, values);
    else if (action === "retire") retireOld(dir, values.force === true);
    else if (action === "request") request(dir, values.out ?? "issuing.csr");
    else if (action === "install") install(dir, name ?? "", tls.names);
    else if (action === "revoke") {
      const serials = revoke(dir, name ?? "", values.reason);
      if (!listIssued(dir).some((one) => serials.includes(one.serial)))
        console.log("No certificate of ours has this serial: taken as one of another CA in trust/.");
      console.log(`Revoked ${serials.join(", ")}. A running service ends its connections within two seconds.`);
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

function issue(dir: string, name: string, values: { role?: string; days?: string; csr?: string }): void {
  usable(() => checkName(name));
  const role = usable(() => roleFrom(values.role ?? "app"));
  const life = lifeOf(values.days);
  const earlier = listIssued(dir).filter((one) => one.kind === "client" && one.name === name && one.status === "valid");
  const { serial, notAfter } =
    values.csr === undefined ? issueClient(dir, name, role, life) : issueRequested(dir, name, role, readFileSync(values.csr, "utf8"), life);
  const files = values.csr === undefined ? ["cert.pem", "key.pem"] : ["cert.pem"];
  console.log(
    `Issued ${name} (${role}), serial ${serial}, valid until ${day(notAfter)}:\n${files.map((file) => `  ${join(dir, "clients", name, file)}`).join("\n")}`,
  );
  for (const one of earlier)
    console.log(`Still valid as well: serial ${one.serial}. Revoke it with \`npx sallyport certs revoke ${one.serial}\`.`);
}

function renew(dir: string, names: readonly string[], only: string | undefined): void {
  newest(dir, "issuing"); // throws where there is none: renewing makes none
  const server = only === undefined && initAuthority(dir, names).includes("server/cert.pem");
  const renewed = renewClients(dir, only);
  if (server) console.log("Renewed the server's certificate. A running service takes it up within a second.");
  for (const { name, serial, notAfter } of renewed)
    console.log(
      `Renewed ${name}: serial ${serial}, valid until ${day(notAfter)}, in ${join(dir, "clients", name)}. The one before stays valid.`,
    );
  if (!server && renewed.length === 0) console.log("Nothing is due.");
}

function exportTo(dir: string, name: string, out: string | undefined, passwordFile: string | undefined): void {
  if (out === undefined || passwordFile === undefined)
    throw new UsageError("Say where to, and where the password is: --out FILE --password-file FILE.");
  const [password = ""] = readFileSync(passwordFile, "utf8").split(/\r?\n/u);
  if (password.length < 12) throw new Error(`The first line of ${passwordFile} is shorter than 12 characters. Take a longer password.`);
  if (existsSync(out)) throw new Error(`${out} exists already. Name another file.`);
  const { cert, key } = readKeyPair(join(dir, "clients", name), issueAgain(name));
  writeFileWhole(out, buildPkcs12(name, createPrivateKey(key), cert, password), 0o600);
  console.log(`${out} holds key and certificate of ${name}. What clients trust is ${join(dir, "ca.pem")}.`);
}

function rotate(dir: string, names: readonly string[], { days, issuing, ca }: { days?: string; issuing?: boolean; ca?: boolean }): void {
  if (issuing && ca) throw new UsageError("--ca makes a new issuing CA too: give one of the two.");
  const life = lifeOf(days);
  if ((issuing || ca) && days !== undefined) throw new UsageError("--days goes with the server's certificate only.");
  const { serial, notAfter } = ca ? rotateRoot(dir, names) : issuing ? rotateIssuing(dir, names) : rotateServer(dir, names, life);
  console.log(
    `The server has a new key and certificate for ${names.join(", ")}: serial ${serial}, valid until ${day(notAfter)}. A running service takes it up within a second.`,
  );
  if (ca) console.log(`There is a new root: hand ${join(dir, "ca.pem")}, which holds the old one too, to every client.`);
  if (ca || issuing)
    console.log("Next: `npx sallyport certs renew`, and when every client has its new certificate, `npx sallyport certs retire`.");
}

function retireOld(dir: string, force: boolean): void {
  const waiting = notRenewed(dir);
  if (waiting.length > 0 && !force)
    throw new Error(
      `${waiting.length} clients still have a certificate of an older CA: ${waiting
        .slice(0, 10)
        .map((one) => one.name)
        .join(", ")}. Renew them (\`npx sallyport certs renew\`), or lock them out with --force.`,
    );
  const retired = retire(dir);
  console.log(
    retired.length === 0
      ? "Nothing to do: there are no older CAs."
      : `Retired ${retired.join("; ")}. Their certificates are refused from now on. ${join(dir, "ca.pem")} holds the newest root only.`,
  );
}

function request(dir: string, out: string): void {
  if (existsSync(out)) throw new Error(`${out} exists already. Name another file with --out.`);
  const { file, csr } = requestIssuing(dir);
  writeFileWhole(out, csr, 0o644);
  console.log(
    `${out} is for your CA to sign, as a CA with path length 0; the key stays in ${file}.\nThen: npx sallyport certs install SIGNED.pem`,
  );
}

function install(dir: string, file: string, names: readonly string[]): void {
  for (const line of installIssuing(dir, readFileSync(file, "utf8"), names)) console.log(line);
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
  return days === undefined ? {} : { lifeDays: wholeFrom("--days", days, 1, 3_650) };
}

function table(all: readonly IssuedCertificate[]): string {
  if (all.length === 0) return "No certificate was issued yet: npx sallyport certs init";
  const row = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => cell.padEnd([34, 8, 24, 10, 9, 12][index] ?? 0))
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
