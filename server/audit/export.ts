import type { ReadEntry } from "./read.ts";

export const exportFormats = ["jsonl", "cef", "syslog"] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** What a receiver filters by. Every format carries number, hash and the hash before, so that a missing or altered line shows there too. */
interface Told {
  readonly caller: string;
  readonly serial: string;
  readonly outcome: string;
  readonly code: string;
}

const names: Readonly<Record<ReadEntry["kind"], string>> = {
  started: "Service started",
  received: "Call received",
  settled: "Call settled",
  stopped: "Service stopped",
  restored: "Restored from a backup",
  rekeyed: "Audit key rotated",
};

/** One line. `host` and `version` name the sender. */
export function exportLine(entry: ReadEntry, format: ExportFormat, sender: { readonly host: string; readonly version: string }): string {
  const { seq, at, kind, call, previous, hash } = entry;
  const body = JSON.parse(entry.body);
  if (format === "jsonl") return JSON.stringify({ seq, at, kind, call, previous, hash, body });
  const told: Told = {
    caller: body.caller?.name ?? "",
    serial: body.caller?.serial ?? "",
    outcome: body.outcome ?? body.decision ?? "",
    code: body.code ?? "",
  };
  return format === "cef" ? cef(entry, told, sender) : syslog(entry, told, sender);
}

/** ArcSight's Common Event Format, version 0. */
function cef(
  { seq, at, kind, call, previous, hash }: ReadEntry,
  { caller, serial, outcome, code }: Told,
  { host, version }: { host: string; version: string },
): string {
  const header = (text: string): string =>
    text
      .replaceAll("\\", "\\\\")
      .replaceAll("|", "\\|")
      .replaceAll(/[\r\n]/gu, " ");
  const value = (text: string): string =>
    text.replaceAll("\\", "\\\\").replaceAll("=", "\\=").replaceAll("\n", "\\n").replaceAll("\r", "\\r");
  const fields: Record<string, string> = {
    rt: String(new Date(at).getTime()),
    dvchost: host,
    externalId: String(seq),
    suser: caller,
    suid: serial,
    outcome,
    reason: code,
    cs1Label: "call",
    cs1: call,
    cs2Label: "hash",
    cs2: hash,
    cs3Label: "previousHash",
    cs3: previous,
  };
  const extension = Object.entries(fields)
    .filter(([, text]) => text !== "")
    .map(([name, text]) => `${name}=${value(text)}`)
    .join(" ");
  return `CEF:0|Sallyport|Sallyport|${header(version)}|${kind}|${names[kind]}|${isNo(outcome) ? 5 : 2}|${extension}`;
}

/** RFC 5424, facility 13 (log audit). The enterprise number is the one for documentation (RFC 5612). */
function syslog(
  { seq, at, kind, call, previous, hash }: ReadEntry,
  { caller, serial, outcome, code }: Told,
  { host }: { host: string },
): string {
  const value = (text: string): string => text.replaceAll(/["\\\]]/gu, "\\$&").replaceAll(/[\r\n]/gu, " ");
  const fields = { seq: String(seq), call, caller, serial, outcome, code, hash, previousHash: previous };
  const data = Object.entries(fields)
    .filter(([, text]) => text !== "")
    .map(([name, text]) => `${name}="${value(text)}"`)
    .join(" ");
  return `<${13 * 8 + (isNo(outcome) ? 4 : 6)}>1 ${at} ${host} sallyport - ${kind} [sallyport@32473 ${data}] ${names[kind]}`;
}

function isNo(outcome: string): boolean {
  return ["refused", "failed", "block", "interrupted"].includes(outcome);
}
