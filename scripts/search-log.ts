import type { AuditReader, ReadEntry } from "../server/audit/read.ts";

/** What an entry must be to be found; what is absent does not matter. */
interface Wanted {
  readonly text?: string | undefined;
  readonly caller?: string | undefined;
  readonly call?: string | undefined;
  readonly kind?: string | undefined;
  readonly outcome?: string | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
}

export interface Found extends Omit<ReadEntry, "body"> {
  readonly body: Body;
  /** By name, decrypted. */
  readonly texts?: Readonly<Record<string, string>>;
}

interface Body {
  readonly caller?: { readonly name: string };
  readonly messages?: readonly Kept[];
  readonly tools?: Kept;
  readonly schema?: Kept;
  readonly answer?: Kept;
  readonly outcome?: string;
  readonly decision?: string;
  readonly code?: string;
}

interface Kept {
  readonly hmac: string;
  readonly stored?: string;
}

/** Newest first, `max` at most. */
export function search(reader: AuditReader, wanted: Wanted, max: number, withTexts: boolean): Found[] {
  const hashes = wanted.text === undefined ? undefined : reader.digests(wanted.text);
  const found: Found[] = [];
  /** The caller stands in a call's first entry only. */
  const callers = new Map<string, string>();
  for (const entry of reader.entries()) {
    const body = JSON.parse(entry.body) as Body; // written by `CallRecord`
    if (body.caller !== undefined) callers.set(entry.call, body.caller.name);
    const kept = keptIn(body);
    const fits =
      (hashes === undefined || kept.some(({ hmac }) => hashes.includes(hmac))) &&
      (wanted.caller === undefined || callers.get(entry.call) === wanted.caller) &&
      (wanted.call === undefined || entry.call === wanted.call) &&
      (wanted.kind === undefined || entry.kind === wanted.kind) &&
      (wanted.outcome === undefined || body.outcome === wanted.outcome || body.decision === wanted.outcome) &&
      (wanted.since === undefined || entry.at >= wanted.since) &&
      (wanted.until === undefined || entry.at < wanted.until);
    if (entry.kind === "settled") callers.delete(entry.call);
    if (!fits) continue;
    const texts = withTexts
      ? Object.fromEntries(kept.flatMap(({ stored }) => (stored === undefined ? [] : [[stored, reader.text(stored) ?? ""]])))
      : undefined;
    found.push({ ...entry, body, ...(texts === undefined ? {} : { texts }) });
    if (found.length > max) found.shift();
  }
  return found.toReversed();
}

export function oneLine({ seq, at, kind, call, body, texts }: Found): string {
  const about = [body.caller?.name, body.outcome ?? body.decision, body.code].filter((one) => one !== undefined).join(" ");
  const shown = Object.values(texts ?? {}).map((text) => `\n    ${JSON.stringify(text)}`);
  return `${String(seq).padStart(7)}  ${at}  ${kind.padEnd(8)}  ${call.padEnd(45)}  ${about}${shown.join("")}`;
}

function keptIn({ messages = [], tools, schema, answer }: Body): Kept[] {
  return [...messages, tools, schema, answer].filter((one) => one !== undefined);
}
