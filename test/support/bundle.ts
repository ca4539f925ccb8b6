import { execFileSync } from "node:child_process";
import { createHash, generateKeyPairSync } from "node:crypto";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeSeal, sealBytes } from "../../scripts/bundle/seal.ts";
import { root } from "./appliance.ts";
import { run } from "./run.ts";
import { scratchDir } from "./scratch.ts";

/** A clean clone of this repository, with what is changed here committed, by the same hand at the same time each time. */
export function cleanClone(change: (dir: string) => void = () => {}): string {
  const dir = join(scratchDir(), "clone");
  execFileSync("git", ["clone", "--quiet", "--shared", root, dir]);
  const changes = execFileSync("git", ["-C", root, "diff", "--binary", "HEAD"], { maxBuffer: 1 << 26 });
  if (changes.length > 0) execFileSync("git", ["-C", dir, "apply", "--index"], { input: changes });
  change(dir);
  const at = "2026-01-01T00:00:00Z";
  const env = { ...process.env, GIT_AUTHOR_DATE: at, GIT_COMMITTER_DATE: at };
  const who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"];
  execFileSync("git", ["-C", dir, ...who, "commit", "--quiet", "--all", "--allow-empty", "-m", "Test"], { env });
  symlinkSync(join(root, "node_modules"), join(dir, "node_modules"));
  return dir;
}

/** A clone that says it is another version; `change` breaks it, or not. */
export function laterVersion(version: string, change: (dir: string) => void = () => {}): string {
  return cleanClone((dir) => {
    const file = join(dir, "package.json");
    writeFileSync(file, readFileSync(file, "utf8").replace(/"version": "[^"]+"/u, `"version": "${version}"`));
    change(dir);
  });
}

export interface Made {
  readonly file: string;
  readonly version: string;
  readonly commit: string;
  readonly bytes: number;
  /** Of the whole file. */
  readonly sha256: string;
  /** Fingerprint. */
  readonly key: string;
}

/** Where the release key of these tests is made and found. */
export const releaseEnv = { XDG_CONFIG_HOME: scratchDir(), SALLYPORT_MODELS: join(root, "models") };

/** `sallyport bundle create` in a clone. */
export async function createBundle(clone: string, ...args: string[]): Promise<Made> {
  const file = join(scratchDir(), "sallyport.bundle");
  const command = [join(clone, "scripts/sallyport.ts"), "bundle", "create", file, "--json", ...args];
  const { status, stdout, stderr } = await run(process.execPath, command, releaseEnv);
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

/** The same content, signed by another key that nobody knows. */
export function resealed(made: Made): Made {
  const sealed = readFileSync(made.file).subarray(0, -sealBytes);
  const seal = makeSeal(createHash("sha256").update(sealed).digest("hex"), generateKeyPairSync("ed25519").privateKey, []);
  const file = join(scratchDir(), "sallyport.bundle");
  writeFileSync(file, Buffer.concat([sealed, seal]));
  return { ...made, file };
}

let whole: Promise<Made> | undefined;

/** The whole bundle with the default model: made once, since it has 430 MB. */
export function wholeBundle(): Promise<Made> {
  whole ??= createBundle(cleanClone());
  return whole;
}
