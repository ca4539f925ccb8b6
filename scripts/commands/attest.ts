import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { writeFileWhole } from "../../certs/write-file.ts";
import { readAuditKeys } from "../../server/audit/keys.ts";
import { readConfig } from "../../server/config.ts";
import { readReport, writeReport } from "../attest/report.ts";
import { type Command, UsageError } from "../command.ts";
import { step } from "../progress.ts";
import { refuseExisting } from "../refuse-existing.ts";

export const attest: Command = {
  usage: `Usage: npx sallyport attest [--out FILE] | attest --verify FILE [--key KEY] [--json]

Writes one HTML file for a change board: what \`doctor\` finds, failed checks first, version, SHA-256 of every file, model and package,
TLS settings, egress (as found here, and by the service when it last started), self-tests of the classifiers, key and head of the audit
log, and whether OpenSSL's FIPS provider is at work, or there. The same stands in it as JSON, signed (Ed25519) with the key that signs
checkpoints of the log. Exit status 1 when a check failed.

  --out FILE      Default: attestation.html
  --verify FILE   check a report: that it is signed, and shows what was signed. Needs no installation, but the version that made it
    --key KEY     the public key that it must be signed with, as you keep it
    --json        print the facts`,

  async run(args) {
    const { values } = parseArgs({
      args,
      options: { out: { type: "string" }, verify: { type: "string" }, key: { type: "string" }, json: { type: "boolean", default: false } },
    });
    if (values.verify !== undefined) return check(values.verify, values.key, values.json);
    if (values.key !== undefined || values.json) throw new UsageError("--key and --json go with --verify.");
    const out = resolve(values.out ?? "attestation.html");
    refuseExisting(out);
    const config = readConfig();
    const { signing } = readAuditKeys(config.dataDir);
    // Whoever checks a report needs none of what looks at an installation.
    const [{ examine }, { gather }] = await Promise.all([import("../doctor/examine.ts"), import("../attest/facts.ts")]);
    const checks = await step("Checking", () => examine());
    const facts = await step("Reading every file", (progress) => gather(config, checks, hostname(), progress));
    writeFileWhole(out, writeReport(facts, signing), 0o644);
    const failed = checks.filter((one) => one.state === "fail");
    for (const { name, detail } of failed) console.log(`fail  ${name}  ${detail}`);
    console.log(
      `${out}: ${checks.length} checks, ${failed.length} failed; ${Object.keys(facts.files).length} files, signed with key ${readReport(readFileSync(out, "utf8")).key}`,
    );
    return failed.length > 0 ? 1 : 0;
  },
};

function check(file: string, wanted: string | undefined, asJson: boolean): number {
  const { facts, key } = readReport(readFileSync(file, "utf8"));
  if (wanted !== undefined && wanted !== key) throw new Error(`${file} is signed with another key: ${key}.`);
  if (asJson) console.log(JSON.stringify(facts));
  else
    console.log(
      `${file} shows what was signed on ${facts.made} with key ${key}${wanted === undefined ? ": compare it with the one you keep" : ""}.`,
    );
  return 0;
}
