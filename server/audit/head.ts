import { createHmac, timingSafeEqual } from "node:crypto";
import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { flush } from "../../certs/write-file.ts";
import { genesisHash } from "./database.ts";

/** The last entry that was made durable. */
export interface Head {
  readonly seq: number;
  /** Chain hash, hexadecimal. */
  readonly hash: string;
}

const slotBytes = 256;

/** The head of a log without entries. */
export const genesisHead: Head = { seq: 0, hash: genesisHash };

/**
 * The head of the chain, kept in a file beside the database, so that entries cut off its end are missed. It is on disk before the next entry is
 * written: after a crash the log is ahead of it by one entry at most, and never behind. Two slots are written in turn, each with a MAC: a torn
 * write leaves the other one.
 */
export class HeadFile {
  readonly #key: Buffer;
  readonly #file: number;

  private constructor(file: number, key: Buffer) {
    this.#file = file;
    this.#key = key;
  }

  /** Makes the file of a log without entries, durably. */
  static create(path: string, key: Buffer): HeadFile {
    const head = new HeadFile(openSync(path, "w+", 0o600), key);
    head.write(genesisHead);
    flush(dirname(path));
    return head;
  }

  static open(path: string, key: Buffer): HeadFile {
    return new HeadFile(openSync(path, "r+"), key);
  }

  write({ seq, hash }: Head): void {
    const head = { seq, hash };
    const slot = JSON.stringify({ ...head, mac: mac(head, this.#key).toString("hex") }).padEnd(slotBytes - 1);
    writeSync(this.#file, `${slot}\n`, (head.seq % 2) * slotBytes);
    fdatasyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/**
 * Whether a log whose last entry has number `last` may stand beside this head: it is one ahead at most, and just one when a write of the head
 * was torn, since then its entry came first.
 */
export function standsBeside({ seq, torn }: Head & { torn: boolean }, last: number): boolean {
  return torn && seq > 0 ? last === seq + 1 : last - seq <= 1 && last >= seq;
}

/** Undefined when the file holds no head that this key signed. `torn`: only one of the two slots is good. */
export function readHead(path: string, key: Buffer): (Head & { readonly torn: boolean }) | undefined {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
  const slots = [text.slice(0, slotBytes), text.slice(slotBytes)].map((slot) => parse(slot, key)).filter((head) => head !== undefined);
  const newest = slots.toSorted((a, b) => b.seq - a.seq)[0];
  return newest && { ...newest, torn: slots.length === 1 };
}

function parse(slot: string, key: Buffer): Head | undefined {
  try {
    const { seq, hash, mac: given } = JSON.parse(slot) as { seq: number; hash: string; mac: string }; // the MAC is checked before use
    return timingSafeEqual(Buffer.from(given, "hex"), mac({ seq, hash }, key)) ? { seq, hash } : undefined;
  } catch {
    return undefined;
  }
}

function mac({ seq, hash }: Head, key: Buffer): Buffer {
  return createHmac("sha256", key).update(`${seq} ${hash}`).digest();
}
