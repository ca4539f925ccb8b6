import { spawn } from "node:child_process";
import { once } from "node:events";
import { scratchDir } from "./scratch.ts";

/** Where what is started here keeps what Node compiles: commands and services start hundreds of times. How soon a start is ready is measured without. */
export const compiled = { NODE_COMPILE_CACHE: scratchDir() };

/** How a program ended, and what it said. */
export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; `input` is what it reads. */
export async function run(program: string, args: readonly string[], env: Record<string, string> = {}, input = ""): Promise<Ran> {
  const child = spawn(program, args, { env: { ...process.env, ...compiled, ...env }, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => {}); // a program need not read what it is given
  child.stdin.end(input);
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].on("data", (data) => {
      said[name] += String(data);
    });
  const [status] = await once(child, "close");
  return { status, ...said };
}
