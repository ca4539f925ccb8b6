/** The `sallyport` command line. */
import { type Command, UsageError } from "./command.ts";
import { Stopped } from "./stop-signal.ts";
import { version } from "./version.ts";

/** What the overview says of each command, and the command itself, loaded when asked for: so each starts fast and needs only what it uses. */
const commands: Readonly<Record<string, readonly [summary: string, load: () => Promise<Command>]>> = {
  setup: ["do what is missing before the first start", async () => (await import("./commands/setup.ts")).setup],
  serve: ["run the appliance in the foreground", async () => (await import("./commands/serve.ts")).serve],
  call: ["send a prompt and stream the answer to the terminal", async () => (await import("./commands/call.ts")).call],
  doctor: ["check this host and this installation", async () => (await import("./commands/doctor.ts")).doctor],
  models: ["list, fetch, add and verify models", async () => (await import("./commands/models.ts")).models],
  certs: ["make, issue, renew, rotate, revoke and list certificates", async () => (await import("./commands/certs.ts")).certs],
  audit: ["prove that the log is whole, search and export it", async () => (await import("./commands/audit.ts")).audit],
  backup: ["write an encrypted backup, and prove it", async () => (await import("./commands/backup.ts")).backup],
  restore: ["put a backup in the place of the data directory", async () => (await import("./commands/restore.ts")).restore],
  attest: ["write a signed report on this installation", async () => (await import("./commands/attest.ts")).attest],
  classify: ["judge texts: prompt injection, delicate text, personal data", async () => (await import("./commands/classify.ts")).classify],
  bundle: ["carry a whole installation into a host without network", async () => (await import("./commands/bundle.ts")).bundle],
  bench: [
    "measure this machine: time to first token, tokens a second, what the guards cost",
    async () => (await import("./commands/bench.ts")).bench,
  ],
};

const [name, ...args] = process.argv.slice(2);
// Whoever reads may be gone (a closed pipe or terminal): what runs ends in its own way.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
process.exitCode = await main();

async function main(): Promise<number> {
  if (name === "--version" || name === "-v") {
    console.log(version());
    return 0;
  }
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    console.log(overview());
    return name === undefined ? 2 : 0;
  }
  const [, load] = (Object.hasOwn(commands, name) ? commands[name] : undefined) ?? [];
  if (load === undefined) {
    console.error(`There is no command \`${name}\`.\n\n${overview()}`);
    return 2;
  }
  const [command, { told }] = await Promise.all([load(), import("./failure.ts")]);
  if (args.includes("--help") || args.includes("-h")) {
    console.log(command.usage);
    return 0;
  }
  try {
    return await command.run(args);
  } catch (error) {
    if (error instanceof UsageError || isParseArgsError(error)) {
      // The whole help would push what is wrong off the screen; and Node explains how to pass what begins with a dash, where an option was meant.
      const wrong = (error as Error).message.replace(/ To specify a positional argument .*/su, "");
      console.error(`${wrong}\n\n${command.usage.split("\n\n", 1)}\n\nnpx sallyport ${name} --help tells more.`);
      return 2;
    }
    console.error(told(error));
    // Whoever pressed Ctrl-C does not wait for what still loads.
    if (error instanceof Stopped) process.exit(1);
    return 1;
  }
}

function overview(): string {
  const lines = Object.entries(commands).map(([key, [summary]]) => `  ${key.padEnd(9)} ${summary}`);
  return `sallyport: a private LLM inference appliance\n\nUsage: npx sallyport COMMAND [options] | --version\n\n${lines.join("\n")}\n\nnpx sallyport COMMAND --help tells more.`;
}

function isParseArgsError(error: unknown): boolean {
  return String((error as NodeJS.ErrnoException).code).startsWith("ERR_PARSE_ARGS");
}
