/** The `sallyport` command line. */
import { type Command, UsageError } from "./command.ts";
import { told } from "./failure.ts";
import { Stopped } from "./stop-signal.ts";
import { version } from "./version.ts";

/** Loaded when asked for, so that each command starts fast and needs only what it uses. */
const commands: Record<string, () => Promise<Command>> = {
  setup: async () => (await import("./commands/setup.ts")).setup,
  serve: async () => (await import("./commands/serve.ts")).serve,
  call: async () => (await import("./commands/call.ts")).call,
  doctor: async () => (await import("./commands/doctor.ts")).doctor,
  models: async () => (await import("./commands/models.ts")).models,
  certs: async () => (await import("./commands/certs.ts")).certs,
  audit: async () => (await import("./commands/audit.ts")).audit,
  backup: async () => (await import("./commands/backup.ts")).backup,
  restore: async () => (await import("./commands/restore.ts")).restore,
  attest: async () => (await import("./commands/attest.ts")).attest,
  classify: async () => (await import("./commands/classify.ts")).classify,
  bundle: async () => (await import("./commands/bundle.ts")).bundle,
  bench: async () => (await import("./commands/bench.ts")).bench,
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
    console.log(await overview());
    return name === undefined ? 2 : 0;
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load === undefined) {
    console.error(`There is no command \`${name}\`.\n\n${await overview()}`);
    return 2;
  }
  const command = await load();
  if (args.includes("--help") || args.includes("-h")) {
    console.log(command.usage);
    return 0;
  }
  try {
    return await command.run(args);
  } catch (error) {
    if (error instanceof UsageError || isParseArgsError(error)) {
      console.error(`${(error as Error).message}\n\n${command.usage}`);
      return 2;
    }
    console.error(told(error));
    // Whoever pressed Ctrl-C does not wait for what still loads.
    if (error instanceof Stopped) process.exit(1);
    return 1;
  }
}

async function overview(): Promise<string> {
  const lines = await Promise.all(Object.entries(commands).map(async ([key, load]) => `  ${key.padEnd(9)} ${(await load()).summary}`));
  return `sallyport: a private LLM inference appliance\n\nUsage: npx sallyport COMMAND [options] | --version\n\n${lines.join("\n")}\n\nnpx sallyport COMMAND --help tells more.`;
}

function isParseArgsError(error: unknown): boolean {
  return String((error as NodeJS.ErrnoException).code).startsWith("ERR_PARSE_ARGS");
}
