import { readingLog } from "./database.ts";
import type { Head } from "./head.ts";
import { readAuditKeys } from "./keys.ts";
import { isSigned, publicText, signed } from "./signing.ts";
import { hashAt, headOf } from "./snapshot.ts";

/** A signed statement of where the log ended, to be kept elsewhere: what is cut off, replaced or put back later does not hold it. */
export interface Checkpoint extends Head {
  readonly format: "sallyport checkpoint 1";
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Ed25519: SPKI, base64. */
  readonly key: string;
  /** Base64, over `statement`. */
  readonly signature: string;
}

export function makeCheckpoint(dataDir: string): Checkpoint {
  const { signing } = readAuditKeys(dataDir);
  const stated = { format: "sallyport checkpoint 1" as const, at: new Date().toISOString(), ...headOf(dataDir), key: publicText(signing) };
  return { ...stated, signature: signed(statement(stated), signing) };
}

/** What is wrong with a log, by a checkpoint that was kept; undefined when it holds what the checkpoint says. */
export function againstCheckpoint(dataDir: string, checkpoint: Checkpoint): string | undefined {
  if (!isSigned(statement(checkpoint), checkpoint.signature, checkpoint.key))
    return "The checkpoint was altered: its signature does not fit.";
  if (!signingKeys(dataDir).includes(checkpoint.key)) return "The checkpoint is not of this log: another key signed it.";
  const hash = hashAt(dataDir, checkpoint.seq);
  if (hash === undefined)
    return `The log ends before entry ${checkpoint.seq}, which the checkpoint of ${checkpoint.at} has: entries were cut off, or it went back in time.`;
  return hash === checkpoint.hash
    ? undefined
    : `Entry ${checkpoint.seq} is another one than at the checkpoint of ${checkpoint.at}: the log was rewritten.`;
}

/** Public keys that have signed for this log: today's, and those before a rotation, which the log itself names. SPKI, base64. */
function signingKeys(dataDir: string): string[] {
  const former = readingLog(dataDir, (log) =>
    log.prepare<[], { key: string }>("SELECT json_extract(body, '$.signedBefore') AS key FROM entries WHERE kind = 'rekeyed'").all(),
  );
  return [publicText(readAuditKeys(dataDir).signing), ...former.map((one) => one.key)];
}

function statement({ format, at, seq, hash }: Pick<Checkpoint, "format" | "at" | "seq" | "hash">): string {
  return `${format}\n${at}\n${seq}\n${hash}\n`;
}
