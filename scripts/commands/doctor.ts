import { parseArgs } from "node:util";
import type { Command } from "../command.ts";
import { examine } from "../doctor/examine.ts";
import { step } from "../progress.ts";

export const doctor: Command = {
  usage: `Usage: npx sallyport doctor [--json]

Looks at the runtime, CPU, GPU, limits of this process and its control group, egress (a route that leads out is a warning; it tries two
addresses that are nobody's, a name, and looks for a proxy), every file against the bundle that brought it, configuration, policy, model
files (SHA-256), classifiers (self-test), memory, disk, clock, file modes, certificates and keys, and the audit log. Each line says what to do.
Changes nothing, needs no running service; exit status 1 when something is broken or keeps it from running.`,

  async run(args) {
    const { values } = parseArgs({ args, options: { json: { type: "boolean", default: false } } });
    const checks = await step("Checking", () => examine());
    if (values.json) console.log(JSON.stringify({ fit: checks.every((one) => one.state !== "fail"), checks }));
    else for (const { name, state, detail } of checks) console.log(`${state.padEnd(5)} ${name.padEnd(14)} ${detail}`);
    return checks.some((one) => one.state === "fail") ? 1 : 0;
  },
};
