import { createHash } from "node:crypto";
import { createReadStream, existsSync, statSync } from "node:fs";
import { pipeline } from "node:stream/promises";

/** What a model's file must be. */
export interface PinnedFile {
  readonly id: string;
  readonly bytes: number;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  /** The catalogue has no source to fetch it from. */
  readonly byHand?: boolean;
}

/** Throws, with a sentence that says what to do, unless `file` is exactly what is pinned. */
export async function verifyFile(file: string, { id, bytes, sha256, byHand }: PinnedFile, signal?: AbortSignal): Promise<void> {
  const advice = byHand ? "Copy the right file there." : `Fetch it: npx sallyport models pull ${id}`;
  if (!existsSync(file)) throw new Error(`${file} is missing. ${advice}`);
  const size = statSync(file).size;
  if (size !== bytes) {
    throw new Error(`${file} has ${size} bytes instead of the catalogue's ${bytes}: it is cut off, or another file. ${advice}`);
  }
  if ((await sha256Of(file, signal)) !== sha256)
    throw new Error(`${file} does not have the catalogue's SHA-256: it was altered or damaged. ${advice}`);
}

/** Lower-case hexadecimal. Throws the signal's reason when aborted. */
export async function sha256Of(file: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash, { signal });
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
  return hash.digest("hex");
}
