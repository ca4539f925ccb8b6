import { createHash } from "node:crypto";
import { createReadStream, existsSync, statSync } from "node:fs";
import { pipeline } from "node:stream/promises";

/** What a model's file must be. */
export interface PinnedFile {
  readonly id: string;
  readonly bytes: number;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
}

/** Throws, with a sentence that says what to do, unless `file` is exactly what is pinned. */
export async function verifyFile(file: string, { id, bytes, sha256 }: PinnedFile): Promise<void> {
  const advice = `Fetch it again: npx sallyport models pull ${id}`;
  if (!existsSync(file)) throw new Error(`${file} is missing. Fetch it: npx sallyport models pull ${id}`);
  const size = statSync(file).size;
  if (size !== bytes) {
    throw new Error(`${file} has ${size} bytes instead of the catalogue's ${bytes}: it is cut off, or another file. ${advice}`);
  }
  if ((await sha256Of(file)) !== sha256)
    throw new Error(`${file} does not have the catalogue's SHA-256: it was altered or damaged. ${advice}`);
}

/** Lower-case hexadecimal. */
export async function sha256Of(file: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash, { signal });
  return hash.digest("hex");
}
