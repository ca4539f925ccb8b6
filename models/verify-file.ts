import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { open } from "node:fs/promises";

const pieceBytes = 1 << 20;

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
  await using handle = await open(file);
  // One piece of memory, no larger than the file: of thousands of small ones, a stream's buffers took longer to collect than the sums to compute.
  const piece = Buffer.allocUnsafe(Math.min(pieceBytes, (await handle.stat()).size));
  for (let bytesRead = piece.length; bytesRead > 0; ) {
    signal?.throwIfAborted();
    ({ bytesRead } = await handle.read(piece));
    hash.update(piece.subarray(0, bytesRead));
  }
  return hash.digest("hex");
}
