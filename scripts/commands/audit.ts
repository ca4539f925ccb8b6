import { createWriteStream, existsSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { writeFileWhole } from "../../certs/write-file.ts";
import { againstCheckpoint, type Checkpoint, makeCheckpoint } from "../../server/audit/checkpoint.ts";
import { type ExportFormat, exportFormats, exportLine } from "../../server/audit/export.ts";
import { AuditReader } from "../../server/audit/read.ts";
import { rotateAuditKey } from "../../server/audit/rotate-key.ts";
import { verifyAuditLog } from "../../server/audit/verify.ts";
import { readConfig } from "../../server/config.ts";
import { type Command, refuseOthers, UsageError } from "../command.ts";
import { wholeFrom } from "../option-number.ts";
import { type Found, oneLine, search } from "../search-log.ts";
import { version } from "../version.ts";

const options = {
  json: { type: "boolean" },
  checkpoint: { type: "string" },
  text: { type: "string" },
  "text-file": { type: "string" },
  caller: { type: "string" },
  call: { type: "string" },
  kind: { type: "string" },
  outcome: { type: "string" },
  since: { type: "string" },
  until: { type: "string" },
  texts: { type: "boolean" },
  max: { type: "string" },
  format: { type: "string" },
  "from-seq": { type: "string" },
  out: { type: "string" },
} as const;

/** What each action takes. */
const actions: Readonly<Record<string, readonly string[]>> = {
  verify: ["json", "checkpoint"],
  search: ["json", "text", "text-file", "caller", "call", "kind", "outcome", "since", "until", "texts", "max"],
  export: ["format", "from-seq", "out"],
  checkpoint: ["out"],
  "rotate-key": [],
};

export const audit: Command = {
  usage: `Usage: npx sallyport audit verify | search | export | checkpoint | rotate-key [options]

  verify             walk the whole log: the hash chain over every entry, every stored text, both entries of every call, and the
                     head kept beside the database. Exit status 1, with what is wrong, when an entry was altered, removed, moved
                     or cut off
    --checkpoint F   and hold it against a checkpoint that was kept elsewhere
    --json
  search             entries, newest first
    --text TEXT      where this text was sent or answered, exactly as it stands: found by its keyed hash, also where no text is kept
    --text-file F    the same, for the content of a file
    --caller NAME    --call ID    --kind KIND    --outcome OUTCOME
    --since TIME     --until TIME    ISO 8601, or its beginning: 2026-11-28
    --texts          with what was stored of the texts (policy: audit.text encrypted), decrypted
    --max N          Default: 100
    --json           one entry a line
  export             the whole log for another system, in order. Stops with exit status 1 where the chain is broken
    --format FORMAT  jsonl (everything), cef or syslog (RFC 5424): with number, hash and the hash before
    --from-seq N     from this entry on. Default: 1
    --out FILE       Default: standard output
  checkpoint         a signed statement of where the log ends, to be kept elsewhere: against a log that is replaced by an older copy
    --out FILE       Default: standard output
  rotate-key         a new secret for the log: the file keys/audit.key from before opens nothing any more. The service must be stopped

All but rotate-key work beside a running service. The data directory is SALLYPORT_DATA (default ./data).`,

  async run(args) {
    const { values, positionals } = parseArgs({ args, allowPositionals: true, options });
    const [action = "", ...rest] = positionals;
    const taken = Object.hasOwn(actions, action) ? actions[action] : undefined;
    if (taken === undefined || rest.length > 0) throw new UsageError(`Say what to do: \`audit ${Object.keys(actions).join("`, `")}\`.`);
    refuseOthers(`audit ${action}`, values, taken);
    const { dataDir } = readConfig();
    if (action === "verify") return verify(dataDir, values);
    if (action === "checkpoint") return checkpoint(dataDir, values.out);
    if (action === "export") return await exportAll(dataDir, values);
    if (action === "search") return searchIn(dataDir, values);
    rotateAuditKey(dataDir);
    console.log(
      "The log has a new key. Back up keys/audit.key: it alone opens the log now. Checkpoints and attestations are signed with a new key from here on.",
    );
    return 0;
  },
};

type Values = { readonly [K in keyof typeof options]?: ((typeof options)[K]["type"] extends "boolean" ? boolean : string) | undefined };

function verify(dataDir: string, { json, checkpoint: file }: Values): number {
  const { problems: found, ...result } = verifyAuditLog(dataDir);
  const against = file === undefined ? undefined : againstCheckpoint(dataDir, readCheckpoint(file));
  const problems = [...found, ...(against === undefined ? [] : [against])];
  const whole = problems.length === 0;
  if (json) console.log(JSON.stringify({ whole, ...result, problems }));
  else if (whole)
    console.log(`The audit log is whole: ${result.entries} entries from ${result.first} to ${result.last}, head ${result.head}.`);
  else console.error(`The audit log is NOT whole (${result.entries} entries read):\n${problems.map((one) => `  ${one}`).join("\n")}`);
  return whole ? 0 : 1;
}

function readCheckpoint(file: string): Checkpoint {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Checkpoint; // its signature is checked
  } catch {
    throw new Error(`${file} is no checkpoint, or damaged.`);
  }
}

function checkpoint(dataDir: string, out: string | undefined): number {
  const made = `${JSON.stringify(makeCheckpoint(dataDir), null, 2)}\n`;
  if (out === undefined) process.stdout.write(made);
  else {
    if (existsSync(out)) throw new Error(`${out} exists already. Name another file.`);
    writeFileWhole(resolve(out), made, 0o644);
  }
  return 0;
}

async function exportAll(dataDir: string, { format, out, "from-seq": from = "1" }: Values): Promise<number> {
  const wanted = exportFormats.find((one): one is ExportFormat => one === format);
  if (wanted === undefined) throw new UsageError(`Say how: --format ${exportFormats.join(", ")}.`);
  const fromSeq = wholeFrom("--from-seq", from, 1);
  if (out !== undefined && existsSync(out)) throw new Error(`${out} exists already. Name another file.`);
  using reader = new AuditReader(dataDir);
  const sender = { host: hostname(), version: version() };
  const lines = reader.entries({ fromSeq });
  const text = Readable.from(lines.map((entry) => `${exportLine(entry, wanted, sender)}\n`));
  await pipeline(text, out === undefined ? process.stdout : createWriteStream(out, { flags: "wx", mode: 0o600 }), {
    end: out !== undefined,
  });
  return 0;
}

function searchIn(dataDir: string, values: Values): number {
  const text = values["text-file"] === undefined ? values.text : readFileSync(values["text-file"], "utf8");
  if (values.text !== undefined && values["text-file"] !== undefined) throw new UsageError("Give --text or --text-file, one of them.");
  using reader = new AuditReader(dataDir);
  const { caller, call, kind, outcome, since, until, texts } = values;
  const found: Found[] = search(
    reader,
    { text, caller, call, kind, outcome, since, until },
    wholeFrom("--max", values.max ?? "100", 1),
    texts === true,
  );
  for (const one of found) console.log(values.json ? JSON.stringify(one) : oneLine(one));
  if (found.length === 0 && !values.json) console.log("Nothing found.");
  return 0;
}
