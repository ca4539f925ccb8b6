import type { Config } from "../config.ts";
import { Fault } from "../fault.ts";
import type { BatchStore } from "./batch-store.ts";

/** Lines are written when they are so many, or so many bytes together. */
const pieceLines = 2_000;
const pieceBytes = 262_144;

export const noRoom =
  "The files of this caller take all the room that there is for them. Delete some: each counts until it is erased, soon after.";

/** What bounds files and batches: a line is as long as a body may be. */
export type BatchLimits = Config["limits"] & Config["batches"];

/** A file on its way in: cut into lines and stored as it comes. Throws a `Fault` where it grows beyond a bound. */
export class Upload {
  readonly id: string;
  readonly #owner: string;
  readonly #store: BatchStore;
  readonly #limits: BatchLimits;
  #rest: Buffer[] = [];
  #restBytes = 0;
  #lines: Buffer[] = [];
  #linesBytes = 0;
  #stored = 0;
  #bytes = 0;

  constructor(store: BatchStore, owner: string, name: string, limits: BatchLimits) {
    this.id = store.beginFile(owner, "batch", name.slice(0, 255));
    this.#owner = owner;
    this.#store = store;
    this.#limits = limits;
  }

  take(piece: Buffer): void {
    this.#bytes += piece.length;
    const { file_bytes_max: bytesMax } = this.#limits;
    if (this.#bytes > bytesMax) throw new Fault("body_too_large", `The file is larger than the ${bytesMax} bytes that are taken.`);
    let from = 0;
    for (let at = piece.indexOf(10); at >= 0; at = piece.indexOf(10, from)) {
      this.#add(piece.subarray(from, at + 1));
      this.#endLine();
      from = at + 1;
    }
    this.#add(piece.subarray(from));
  }

  end(): void {
    if (this.#bytes === 0) throw new Fault("invalid_value", "The file is empty.", { param: "file" });
    if (this.#restBytes > 0) this.#endLine();
    this.#flush();
    this.#store.completeFile(this.id);
  }

  #add(part: Buffer): void {
    if (part.length === 0) return;
    this.#rest.push(part);
    this.#restBytes += part.length;
    const { body_bytes_max: lineBytesMax } = this.#limits;
    if (this.#restBytes > lineBytesMax)
      throw new Fault("body_too_large", `Line ${this.#next} of the file is longer than the ${lineBytesMax} bytes that are taken.`);
  }

  #endLine(): void {
    const { lines_max: linesMax } = this.#limits;
    if (this.#next > linesMax)
      throw new Fault("invalid_value", `The file has more than the ${linesMax} lines that are taken.`, { param: "file" });
    this.#lines.push(Buffer.concat(this.#rest));
    this.#linesBytes += this.#restBytes;
    this.#rest = [];
    this.#restBytes = 0;
    if (this.#lines.length >= pieceLines || this.#linesBytes >= pieceBytes) this.#flush();
  }

  /** Number of the line that is being read. */
  get #next(): number {
    return this.#stored + this.#lines.length + 1;
  }

  #flush(): void {
    this.#store.append(this.id, this.#stored + 1, this.#lines);
    this.#stored += this.#lines.length;
    this.#lines = [];
    this.#linesBytes = 0;
    if (this.#store.bytesOf(this.#owner) > this.#limits.caller_bytes_max) throw new Fault("quota_exceeded", noRoom);
  }
}
