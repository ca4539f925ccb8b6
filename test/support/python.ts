import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "./appliance.ts";
import { type Ran, run } from "./run.ts";

type Python = (file: string, args: readonly string[]) => Promise<Ran>;

const requirements = join(root, "test/support/openai-python.txt");

/** Python with the pinned OpenAI SDK, installed once into test/.cache. */
export async function pythonWithOpenAI(): Promise<Python> {
  const name = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 16);
  const site = join(root, "test/.cache", `python-${name}`);
  if (!existsSync(site)) {
    rmSync(`${site}.part`, { recursive: true, force: true });
    const args = [
      "-m",
      "pip",
      "install",
      "--quiet",
      "--disable-pip-version-check",
      "--no-deps",
      "--require-hashes",
      "--target",
      `${site}.part`,
      "-r",
      requirements,
    ];
    const { status, stderr } = await run("python3", args);
    if (status !== 0) throw new Error(`pip could not install the OpenAI SDK for Python:\n${stderr}`);
    renameSync(`${site}.part`, site);
  }
  return (file, args) => run("python3", [file, ...args], { PYTHONPATH: site });
}
