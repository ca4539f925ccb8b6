import { parseArgs } from "node:util";
import { verifyAuditLog } from "../../server/audit/verify.ts";
import { readConfig } from "../../server/config.ts";
import { type Command, UsageError } from "../command.ts";

export const audit: Command = {
  summary: "prove that the log is whole",
  usage: `Usage: npx sallyport audit verify [--json]

Walks the whole audit log: the hash chain over every entry, every stored text, both entries of every call, and the
head kept beside the database. Exit status 1, with what is wrong, when an entry was altered, removed, moved or cut off.
Works beside a running service. The data directory is SALLYPORT_DATA (default ./data).`,

  async run(args) {
    const { values, positionals } = parseArgs({ args, allowPositionals: true, options: { json: { type: "boolean", default: false } } });
    if (positionals.length !== 1 || positionals[0] !== "verify") throw new UsageError("Say what to do: `audit verify`.");
    const { dataDir } = readConfig();
    const result = verifyAuditLog(dataDir);
    const whole = result.problems.length === 0;
    if (values.json) console.log(JSON.stringify({ whole, ...result }));
    else if (whole)
      console.log(`The audit log is whole: ${result.entries} entries from ${result.first} to ${result.last}, head ${result.head}.`);
    else
      console.error(`The audit log is NOT whole (${result.entries} entries read):\n${result.problems.map((one) => `  ${one}`).join("\n")}`);
    return whole ? 0 : 1;
  },
};
