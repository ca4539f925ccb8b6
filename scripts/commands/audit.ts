import { createWriteStream, readFileSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { renameDurably, writeFileWhole } from "../../certs/write-file.ts";
import { againstCheckpoint, type Checkpoint, makeCheckpoint } from "../../server/audit/checkpoint.ts";
import { entryKinds } from "../../server/audit/database.ts";
import { type ExportFormat, exportFormats, exportLine } from "../../server/audit/export.ts";
import { AuditReader } from "../../server/audit/read.ts";
import { rotateAuditKey } from "../../server/audit/rotate-key.ts";
import { verifyAuditLog } from "../../server/audit/verify.ts";
import { readConfig } from "../../server/config.ts";
import { type Action, actionOf, type Command, UsageError } from "../command.ts";
import { wholeFrom } from "../option-number.ts";
import { refuseExisting } from "../refuse-existing.ts";
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

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>["values"];

const actions: Readonly<Record<string, Action<[dataDir: string, values: Values]>>> = {
  verify: { options: ["json", "checkpoint"], run: verify },
  search: {
    options: ["json", "text", "text-file", "caller", "call", "kind", "outcome", "since", "until", "texts", "max"],
    run: searchIn,
  },
  export: { options: ["format", "from-seq", "out"], run: exportAll },
  checkpoint: { options: ["out"], run: checkpoint },
  "rotate-key": { options: [], run: rotateKey },
};

/** What an entry may say came of a call: the input gate's decision in `received`, then the outcome in `settled`. */
const outcomes = ["pass", "block", "failed", "answered", "refused", "cancelled", "interrupted"] as const;

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
    --caller NAME    --call ID
    --kind KIND      ${entryKinds.join(", ")}
    --outcome O      ${outcomes.join(", ")}
    --since TIME     --until TIME    ISO 8601, or its beginning, such as 2026-11-28; in UTC unless it names its zone
    --texts          with what was stored of the texts (policy: audit.text encrypted), decrypted
    --max N          Default: 100
    --json           one entry a line
  export             the whole log for another system, in order. Stops with exit status 1 where the chain is broken,
                     and at its end when entries were cut off there
    --format FORMAT  jsonl (everything), cef or syslog (RFC 5424): with number, hash and the hash before
    --from-seq N     from this entry on. Default: 1
    --out FILE       Default: standard output. FILE is there once it is whole
  checkpoint         a signed statement of where the log ends, to be kept elsewhere: against a log that is replaced by an older copy
    --out FILE       Default: standard output
  rotate-key         a new secret for the log: the file keys/audit.key from before opens nothing any more. The service must be stopped

All but rotate-key work beside a running service. The data directory is SALLYPORT_DATA (default ./data).`,

  async run(args) {
    const { values, positionals } = parseArgs({ args, allowPositionals: true, options });
    const action = actionOf("audit", actions, positionals, values);
    return await action.run(readConfig().dataDir, values);
  },
};

function verify(dataDir: string, { json, checkpoint: file }: Values): number {
  const { problems: found, ...result } = verifyAuditLog(dataDir);
  const checkpoint = file === undefined ? undefined : readCheckpoint(file);
  const against = checkpoint && againstCheckpoint(dataDir, checkpoint);
  const problems = [...found, ...(against === undefined ? [] : [against])];
  const whole = problems.length === 0;
  if (json) console.log(JSON.stringify({ whole, ...result, problems }));
  else if (whole)
    console.log(
      `The audit log is whole: ${result.entries} entries from ${result.first} to ${result.last}, head ${result.head}.${
        checkpoint === undefined ? "" : ` It holds entry ${checkpoint.seq} as at the checkpoint of ${checkpoint.at}.`
      }`,
    );
  else console.error(`The audit log is NOT whole (${result.entries} entries read):\n${problems.map((one) => `  ${one}`).join("\n")}`);
  return whole ? 0 : 1;
}

function readCheckpoint(file: string): Checkpoint {
  const text = readFileSync(file, "utf8");
  try {
    return JSON.parse(text) as Checkpoint; // its signature is checked
  } catch {
    throw new Error(`${file} is no checkpoint, or damaged.`);
  }
}

function checkpoint(dataDir: string, { out }: Values): number {
  const made = `${JSON.stringify(makeCheckpoint(dataDir), null, 2)}\n`;
  if (out === undefined) process.stdout.write(made);
  else {
    refuseExisting(out);
    writeFileWhole(resolve(out), made, 0o644);
  }
  return 0;
}

async function exportAll(dataDir: string, { format, out, "from-seq": from = "1" }: Values): Promise<number> {
  const wanted = exportFormats.find((one): one is ExportFormat => one === format);
  if (wanted === undefined) throw new UsageError(`Say how: --format ${exportFormats.join(", ")}.`);
  const fromSeq = wholeFrom("--from-seq", from, 1);
  if (out !== undefined) refuseExisting(out);
  using reader = new AuditReader(dataDir);
  const sender = { host: hostname(), version: version() };
  const lines = reader.entries({ fromSeq });
  const text = Readable.from(lines.map((entry) => `${exportLine(entry, wanted, sender)}\n`));
  if (out === undefined) await pipeline(text, process.stdout, { end: false });
  else {
    const part = `${out}.${process.pid}.part`;
    try {
      await pipeline(text, createWriteStream(part, { flags: "wx", mode: 0o600, flush: true }));
      refuseExisting(out); // another export may have come first
      renameDurably(part, out);
    } finally {
      rmSync(part, { force: true });
    }
  }
  return 0;
}

function searchIn(dataDir: string, values: Values): number {
  const text = values["text-file"] === undefined ? values.text : readFileSync(values["text-file"], "utf8");
  if (values.text !== undefined && values["text-file"] !== undefined) throw new UsageError("Give --text or --text-file, one of them.");
  const wanted = {
    text,
    caller: values.caller,
    call: values.call,
    kind: oneOf("--kind", entryKinds, values.kind),
    outcome: oneOf("--outcome", outcomes, values.outcome),
    since: timeOf("--since", values.since),
    until: timeOf("--until", values.until),
  };
  const max = wholeFrom("--max", values.max ?? "100", 1);
  using reader = new AuditReader(dataDir);
  const found: Found[] = search(reader, wanted, max, values.texts === true);
  for (const one of found) console.log(values.json ? JSON.stringify(one) : oneLine(one));
  if (found.length === 0 && !values.json) console.log("Nothing found.");
  return 0;
}

function rotateKey(dataDir: string): number {
  rotateAuditKey(dataDir);
  console.log(
    "The log has a new key. Back up keys/audit.key: it alone opens the log now. Checkpoints and attestations are signed with a new key from here on.",
  );
  return 0;
}

function oneOf<T extends string>(option: string, known: readonly T[], given: string | undefined): T | undefined {
  const found = known.find((one) => one === given);
  if (found === undefined && given !== undefined) throw new UsageError(`${option} takes ${known.join(", ")}, and not "${given}".`);
  return found;
}

/** A time as the log writes it. */
function timeOf(option: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const zoned = /T.+(?:Z|[+-]\d{2}:\d{2})$/u.test(text);
  const time = new Date(zoned ? text : text + "0000-01-01T00:00:00.000Z".slice(text.length));
  if (!/^\d{4}(?:-\d{2}(?:-\d{2}(?:T\d{2}(?::\d{2}.*)?)?)?)?$/u.test(text) || Number.isNaN(time.getTime()))
    throw new UsageError(`${option} takes a time such as 2026-11-28 or 2026-11-28T20:15, and not "${text}".`);
  return time.toISOString();
}
