import { closeSync, openSync, readSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultEntry, defaultModelFile } from "./model.ts";
import { scratchDir } from "./scratch.ts";

/** The head of the default model, and a little of its weights. */
const headBytes = 2 << 20;

/** A change to the head of a model's file, in place; returns how long the file is then. */
export type Harm = (head: Buffer) => number;

export const { bytes: wholeBytes } = defaultEntry;
const tensorsAt = 8;
const keysAt = 16;
const firstKeyAt = 24;

/** Writes the default model's head, harmed, in front of nothing: a sparse file, so that fifty of them take no room. */
export function hostileModel(name: string, harm: Harm, head = readHead()): string {
  const file = join(scratchDir(), `${name.replaceAll(/[^a-z0-9]+/gu, "-")}.gguf`);
  const bytes = harm(head);
  writeFileSync(file, head);
  truncateSync(file, bytes);
  return file;
}

export function readHead(): Buffer {
  const head = Buffer.alloc(headBytes);
  const handle = openSync(defaultModelFile, "r");
  readSync(handle, head, 0, headBytes, 0);
  closeSync(handle);
  return head;
}

/** Numbers that look like chance and are the same each time (mulberry32). */
export function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Where the value of a key begins: its type, four bytes, and then the value itself. */
function valueAt(head: Buffer, key: string): number {
  const at = head.indexOf(key);
  if (at < 0) throw new Error(`the model has no ${key}`);
  return at + key.length;
}

/** Where what a tensor's name is followed by begins: the number of its dimensions (4), each (8), its type (4), its place (8). */
const tensorAt = (head: Buffer, name: string): number => valueAt(head, name);

const u64 =
  (value: bigint, where: (head: Buffer) => number): Harm =>
  (head) => {
    head.writeBigUInt64LE(value, where(head));
    return wholeBytes;
  };
const u32 =
  (value: number, where: (head: Buffer) => number): Harm =>
  (head) => {
    head.writeUInt32LE(value, where(head));
    return wholeBytes;
  };
const value =
  (key: string, number: number): Harm =>
  (head) =>
    u32(number, () => valueAt(head, key) + 4)(head);

const tokens = "tokenizer.ggml.tokens";
const query = "blk.0.attn_q.weight";
const huge = 2n ** 62n;

/** What our own reader of heads refuses, and in what words. */
export const harmedHeads: Readonly<Record<string, readonly [Harm, RegExp]>> = {
  "nothing at all": [() => 0, /at byte 0 it says that 4 more follow, and it ends at 0/u],
  "a magic of zeros": [u32(0, () => 0), /it does not begin with GGUF/u],
  "a version to come": [u32(9, () => 4), /says that it is of version 9/u],
  "cut off in its counts": [() => 20, /it ends at 20/u],
  "cut off in a key": [() => firstKeyAt + 10, /it ends at 34/u],
  "cut off in its vocabulary": [() => 300_000, /it ends at 300000/u],
  "a huge count of tensors": [u64(huge, () => tensorsAt), /says that it has 46\d+ tensors/u],
  "a huge count of keys": [u64(2n ** 64n - 1n, () => keysAt), /says that it has 18\d+ keys/u],
  "more keys than there are": [u64(90_000n, () => keysAt), /name of \d+ bytes|unknown type|there twice|more follow/u],
  "a huge key": [u64(huge, () => firstKeyAt), /a name of 46\d+ bytes/u],
  "a huge text": [(head) => u64(huge, () => valueAt(head, "general.architecture") + 4)(head), /46\d+ more follow/u],
  "a value of an unknown type": [(head) => u32(77, () => valueAt(head, "llama.block_count"))(head), /unknown type, 77/u],
  "a list of lists": [(head) => u32(9, () => valueAt(head, tokens) + 4)(head), /"tokenizer.ggml.tokens" has a list of lists/u],
  "a huge list": [(head) => u64(huge, () => valueAt(head, tokens) + 8)(head), /46\d+ elements in "tokenizer.ggml.tokens"/u],
  "a list of ninety million bytes": [
    (head) => {
      u32(0, () => valueAt(head, tokens) + 4)(head);
      return u64(90_000_000n, () => valueAt(head, tokens) + 8)(head);
    },
    /90000000 elements/u,
  ],
  "the same key twice": [
    (head) => {
      head.write("llama.context_length", head.indexOf("general.architecture")); // of the same length
      return wholeBytes;
    },
    /"llama.context_length" is there twice/u,
  ],
  "a tensor of no dimension": [(head) => u32(0, () => tensorAt(head, query))(head), /"blk.0.attn_q.weight" has 0 dimensions/u],
  "a tensor of a billion dimensions": [(head) => u32(1e9, () => tensorAt(head, query))(head), /1000000000 dimensions/u],
  "a tensor of no elements": [(head) => u64(0n, () => tensorAt(head, query) + 4)(head), /has no elements/u],
};

/** What the engine refuses, llama.cpp or we: in what words. */
export const harmedValues: Readonly<Record<string, readonly [Harm, RegExp]>> = {
  "cut off in its weights": [() => 50_000_000, /not within the file bounds/u],
  "a tensor beyond the end": [(head) => u64(2n ** 40n, () => tensorAt(head, query) + 24)(head), /has offset 1099511627776/u],
  "a tensor of an unknown quantisation": [(head) => u32(99, () => tensorAt(head, query) + 20)(head), /Invalid type/u],
  "more layers than there are": [value("llama.block_count", 31), /missing tensor 'blk\.30/u],
  "a billion heads": [value("llama.attention.head_count", 1e9), /invalid n_rot/u],
  "a number of another type": [(head) => u32(6, () => valueAt(head, "llama.block_count"))(head), /block_count has wrong type/u],
  "a context of nothing": [value("llama.context_length", 0), /trained for 0 tokens/u],
};

/** What kills the engine's process. */
export const deadly: Readonly<Record<string, readonly [Harm, RegExp]>> = {
  "a billion layers": [value("llama.block_count", 1e9), /ended on it \(SIGABRT\)/u],
  "no heads": [value("llama.attention.head_count", 0), /ended on it \(SIGABRT\)/u],
  "a template without end": [endlessTemplate, /ended on it \(no progress for 15 s\)/u],
};

function endlessTemplate(head: Buffer): number {
  const at = valueAt(head, "tokenizer.chat_template") + 4;
  const chars = Number(head.readBigUInt64LE(at));
  const loops = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
  head.write(loops.padEnd(chars), at + 8);
  return wholeBytes;
}
