import { createHash, hash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { setImmediate as turn } from "node:timers/promises";

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
export async function verifyFile(file: string, pinned: PinnedFile, signal?: AbortSignal): Promise<void> {
  checkSize(file, pinned);
  if ((await sha256Of(file, signal)) !== pinned.sha256)
    throw new Error(`${file} does not have the catalogue's SHA-256: it was altered or damaged. ${adviceFor(pinned)}`);
}

/** What can be known of it at once. Throws a sentence as well. */
export function checkSize(file: string, pinned: PinnedFile): void {
  if (!existsSync(file)) throw new Error(`${file} is missing. ${adviceFor(pinned)}`);
  const { size } = statSync(file);
  if (size !== pinned.bytes)
    throw new Error(
      `${file} has ${size} bytes instead of the catalogue's ${pinned.bytes}: it is cut off, or another file. ${adviceFor(pinned)}`,
    );
}

function adviceFor({ id, byHand }: PinnedFile): string {
  return byHand ? "Copy the right file there." : `Fetch it: npx sallyport models pull ${id}`;
}

/** Lower-case hexadecimal. Throws the signal's reason when aborted. */
export async function sha256Of(file: string, signal?: AbortSignal): Promise<string> {
  // A small one at once: of twenty thousand, five waits each for a thread that reads took five times as long as reading them.
  if (statSync(file).size <= pieceBytes) {
    await turn();
    signal?.throwIfAborted();
    return hash("sha256", readFileSync(file));
  }
  const sum = createHash("sha256");
  await using handle = await open(file);
  const piece = Buffer.allocUnsafe(pieceBytes);
  for (let bytesRead = piece.length; bytesRead > 0; ) {
    signal?.throwIfAborted();
    ({ bytesRead } = await handle.read(piece));
    sum.update(piece.subarray(0, bytesRead));
  }
  return sum.digest("hex");
}
