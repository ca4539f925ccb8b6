import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
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
import { type Action, actionOf, type Command, UsageError } from "../command.ts";
import { readKeyPair } from "../key-pair.ts";
import { wholeFrom } from "../option-number.ts";
import { refuseExisting } from "../refuse-existing.ts";

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

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>["values"];

interface Call {
  readonly dir: string;
  /** Of the server: `tls.names` of the configuration. */
  readonly names: readonly string[];
  /** Of a client, or of a file, if any. */
  readonly name: string | undefined;
  readonly values: Values;
}

/** Each takes `--dir` as well. */
const actions: Readonly<Record<string, Action<[Call], void>>> = {
  init: { options: [], run: init },
  issue: { options: ["role", "days", "csr"], argument: "NAME", run: issue },
  renew: { options: [], argument: "[NAME]", run: renew },
  export: { options: ["out", "password-file"], argument: "NAME", run: exportTo },
  rotate: { options: ["days", "issuing", "ca"], run: rotate },
  retire: { options: ["force"], run: retireOld },
  request: { options: ["out"], run: request },
  install: { options: [], argument: "FILE", run: install },
  revoke: { options: ["reason"], argument: "NAME", run: revokeAll },
  list: { options: ["json"], run: list },
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
    const { dir: given, ...others } = values;
    const action = actionOf("certs", actions, positionals, others);
    const { dataDir, tls } = readConfig();
    if (given === undefined) refuseHalfRestored(dataDir);
    const dir = given ?? join(dataDir, "certs");
    if (action.run !== init && !isThere(dir))
      throw new Error(`There are no certificates in ${dir}. Make them with \`npx sallyport certs init\`.`);
    action.run({ dir, names: tls.names, name: positionals[1], values });
    return 0;
  },
};

function init({ dir, names }: Call): void {
  const made = initAuthority(dir, names);
  console.log(
    made.length === 0
      ? `Nothing to do: ${dir} is complete.`
      : `Made in ${dir}: ${made.join(", ")}.\nClients trust ${join(dir, "ca.pem")}. Next: npx sallyport certs issue NAME`,
  );
}

function issue({ dir, name = "", values }: Call): void {
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

function renew({ dir, names, name: only }: Call): void {
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

function exportTo({ dir, name = "", values: { out, "password-file": passwordFile } }: Call): void {
  if (out === undefined || passwordFile === undefined)
    throw new UsageError("Say where to, and where the password is: --out FILE --password-file FILE.");
  const [password = ""] = readFileSync(passwordFile, "utf8").split(/\r?\n/u);
  if (password.length < 12) throw new Error(`The first line of ${passwordFile} is shorter than 12 characters. Take a longer password.`);
  refuseExisting(out);
  const { cert, key } = readKeyPair(join(dir, "clients", name), issueAgain(name));
  writeFileWhole(out, buildPkcs12(name, createPrivateKey(key), cert, password), 0o600);
  console.log(`${out} holds key and certificate of ${name}. What clients trust is ${join(dir, "ca.pem")}.`);
}

function rotate({ dir, names, values: { days, issuing, ca } }: Call): void {
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

function retireOld({ dir, values: { force } }: Call): void {
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

function request({ dir, values: { out = "issuing.csr" } }: Call): void {
  refuseExisting(out);
  const { file, csr } = requestIssuing(dir);
  writeFileWhole(out, csr, 0o644);
  console.log(
    `${out} is for your CA to sign, as a CA with path length 0; the key stays in ${file}.\nThen: npx sallyport certs install SIGNED.pem`,
  );
}

function install({ dir, names, name: file = "" }: Call): void {
  for (const line of installIssuing(dir, readFileSync(file, "utf8"), names)) console.log(line);
}

function revokeAll({ dir, name = "", values: { reason } }: Call): void {
  const serials = revoke(dir, name, reason);
  if (!listIssued(dir).some((one) => serials.includes(one.serial)))
    console.log("No certificate of ours has this serial: taken as one of another CA in trust/.");
  console.log(`Revoked ${serials.join(", ")}. A running service ends its connections within two seconds.`);
}

function list({ dir, values: { json } }: Call): void {
  const all = listIssued(dir);
  console.log(json ? JSON.stringify(all) : table(all));
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
