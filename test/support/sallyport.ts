import { join } from "node:path";
import { root } from "./appliance.ts";
import { type Ran, run } from "./run.ts";

/** Runs a command of the command line to its end. */
export function sallyport(args: readonly string[], env: Record<string, string> = {}, input = ""): Promise<Ran> {
  return run(process.execPath, [join(root, "scripts/sallyport.ts"), ...args], env, input);
}
