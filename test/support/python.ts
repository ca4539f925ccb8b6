import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "./appliance.ts";

type Python = (file: string, args: readonly string[]) => Promise<{ status: number; stdout: string; stderr: string }>;

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
    const { status, stderr } = await python(args, {});
    if (status !== 0) throw new Error(`pip could not install the OpenAI SDK for Python:\n${stderr}`);
    renameSync(`${site}.part`, site);
  }
  return (file, args) => python([file, ...args], { PYTHONPATH: site });
}

async function python(args: readonly string[], env: Record<string, string>): ReturnType<Python> {
  const child = spawn("python3", args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].on("data", (data) => {
      said[name] += String(data);
    });
  const [status] = await once(child, "close");
  return { status, ...said };
}
