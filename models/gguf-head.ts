import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** More than any model has: the largest vocabularies have a quarter of a million tokens. */
const elementsMax = 4_000_000;
const entriesMax = 100_000;
const keyBytesMax = 65_535;
const dimensionsMax = 4;

/** Bytes of a value, by its type's number; strings (8) and lists (9) have their own length. */
const valueBytes: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };
const stringType = 8;
const listType = 9;
const floatTypes: ReadonlySet<number> = new Set([6, 12]);
/** A name of an architecture is shorter, and no model has so many layers. */
const keptBytesMax = 64;
const keptElementsMax = 1_000;

/** What is kept of a head, by its key: whole numbers, short texts, short lists of whole numbers; and how long each list is. */
export interface GgufHead {
  readonly values: ReadonlyMap<string, Value>;
  readonly lengths: ReadonlyMap<string, number>;
}

type Value = number | string | readonly number[] | undefined;

/**
 * Reads the head of a GGUF (versions 2 and 3). Throws a sentence when a count or a length in it is more than there can be:
 * whoever reads it next takes memory and time by these numbers. What else may be wrong is left to llama.cpp.
 */
export function readGgufHead(file: string): GgufHead {
  const head = new Head(file);
  try {
    if (head.text(4) !== "GGUF") throw new Error("it does not begin with GGUF");
    const version = head.u32();
    if (version !== 2 && version !== 3) throw new Error(`it says that it is of version ${version}`);
    const tensors = head.count("tensors", entriesMax);
    const keys = head.count("keys", entriesMax);
    const kept = readKeys(head, keys);
    checkTensors(head, tensors);
    return kept;
  } catch (error) {
    throw new Error(`${file} is no GGUF that can be loaded: ${(error as Error).message}. It is damaged or not a model: fetch it again.`);
  } finally {
    head.close();
  }
}

function readKeys(head: Head, count: number): GgufHead {
  const values = new Map<string, Value>();
  const lengths = new Map<string, number>();
  let elements = 0;
  for (let index = 0; index < count; index += 1) {
    const key = head.string();
    if (values.has(key)) throw new Error(`the key ${named(key)} is there twice`);
    const type = head.u32();
    if (type !== listType) {
      values.set(key, readValue(head, key, type));
      continue;
    }
    const of = head.u32();
    const length = head.count(`elements in ${named(key)}`, elementsMax);
    elements += length;
    if (elements > 2 * elementsMax) throw new Error(`its lists have more than ${2 * elementsMax} elements`);
    lengths.set(key, length);
    values.set(key, readList(head, key, of, length));
  }
  return { values, lengths };
}

function readValue(head: Head, key: string, type: number): number | string | undefined {
  if (type === stringType) {
    const bytes = head.u64();
    return bytes > keptBytesMax ? head.skip(bytes) : head.text(bytes);
  }
  const bytes = bytesOf(key, type);
  return floatTypes.has(type) ? head.skip(bytes) : head.whole(bytes);
}

function readList(head: Head, key: string, type: number, length: number): readonly number[] | undefined {
  if (type === stringType) {
    for (let index = 0; index < length; index += 1) head.skip(head.u64());
    return undefined;
  }
  const bytes = bytesOf(key, type);
  if (floatTypes.has(type) || length > keptElementsMax) return head.skip(bytes * length);
  return Array.from({ length }, () => head.whole(bytes));
}

function bytesOf(key: string, type: number): number {
  const bytes = valueBytes[type];
  if (bytes === undefined)
    throw new Error(`the key ${named(key)} has ${type === listType ? "a list of lists" : `a value of an unknown type, ${type}`}`);
  return bytes;
}

function checkTensors(head: Head, count: number): void {
  for (let index = 0; index < count; index += 1) {
    const name = head.string();
    const dimensions = head.u32();
    if (dimensions < 1 || dimensions > dimensionsMax) throw new Error(`the tensor ${named(name)} has ${dimensions} dimensions`);
    for (let one = 0; one < dimensions; one += 1) if (head.u64() === 0) throw new Error(`the tensor ${named(name)} has no elements`);
    head.skip(4 + 8); // its type, and where it stands
  }
}

/** A name of the file's making, fit for a sentence. */
const named = (text: string): string => JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);

/** Bytes of a file, in order. Throws where the file is shorter than it says. */
class Head {
  readonly #handle: number;
  readonly #bytes: number;
  readonly #window = Buffer.alloc(1 << 20);
  #windowAt = 0;
  #windowBytes = 0;
  #at = 0;

  constructor(file: string) {
    this.#handle = openSync(file, "r");
    this.#bytes = fstatSync(this.#handle).size;
  }

  u32(): number {
    return this.whole(4);
  }

  /** Of 1, 2, 4 or 8 bytes, without a sign. */
  whole(bytes: number): number {
    return bytes === 8 ? this.u64() : this.#window.readUIntLE(this.#take(bytes), bytes);
  }

  /** Inexact above 2^53, where nothing fits any more. */
  u64(): number {
    const at = this.#take(8);
    return this.#window.readUInt32LE(at) + this.#window.readUInt32LE(at + 4) * 2 ** 32;
  }

  count(what: string, max: number): number {
    const count = this.u64();
    if (count > max) throw new Error(`it says that it has ${count} ${what}`);
    return count;
  }

  string(): string {
    const bytes = this.u64();
    if (bytes > keyBytesMax) throw new Error(`it has a name of ${bytes} bytes`);
    return this.text(bytes);
  }

  text(bytes: number): string {
    const start = this.#take(bytes);
    return this.#window.toString("utf8", start, start + bytes);
  }

  skip(bytes: number): undefined {
    if (bytes > this.#bytes - this.#at)
      throw new Error(`at byte ${this.#at} it says that ${bytes} more follow, and it ends at ${this.#bytes}`);
    this.#at += bytes;
  }

  close(): void {
    closeSync(this.#handle);
  }

  /** Where in the window the next bytes, at most 65,535, stand. */
  #take(bytes: number): number {
    const at = this.#at;
    this.skip(bytes);
    if (at < this.#windowAt || this.#at > this.#windowAt + this.#windowBytes) {
      this.#windowAt = at;
      this.#windowBytes = readSync(this.#handle, this.#window, 0, this.#window.length, at);
    }
    return at - this.#windowAt;
  }
}
