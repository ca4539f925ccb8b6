/** The `sallyport` command line. */
import { ConfigError } from "../server/config.ts";
import { type Command, CommandError, UsageError } from "./command.ts";

/** Loaded when asked for, so that each command starts fast and needs only what it uses. */
const commands: Record<string, () => Promise<Command>> = {
  setup: async () => (await import("./commands/setup.ts")).setup,
  serve: async () => (await import("./commands/serve.ts")).serve,
  call: async () => (await import("./commands/call.ts")).call,
  doctor: async () => (await import("./commands/doctor.ts")).doctor,
  models: async () => (await import("./commands/models.ts")).models,
  certs: async () => (await import("./commands/certs.ts")).certs,
  audit: async () => (await import("./commands/audit.ts")).audit,
  bench: async () => (await import("./commands/bench.ts")).bench,
};

const [name, ...args] = process.argv.slice(2);
process.exitCode = await main();

async function main(): Promise<number> {
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
    console.error(isSentence(error) ? (error as Error).message : error);
    return 1;
  }
}

async function overview(): Promise<string> {
  const lines = await Promise.all(Object.entries(commands).map(async ([key, load]) => `  ${key.padEnd(9)} ${(await load()).summary}`));
  return `sallyport: a private LLM inference appliance\n\nUsage: npx sallyport COMMAND [options]\n\n${lines.join("\n")}\n\nnpx sallyport COMMAND --help tells more.`;
}

function isParseArgsError(error: unknown): boolean {
  return String((error as NodeJS.ErrnoException).code).startsWith("ERR_PARSE_ARGS");
}

/** Errors written for the person at the terminal need no stack. */
function isSentence(error: unknown): boolean {
  return (
    error instanceof CommandError ||
    error instanceof ConfigError ||
    (error instanceof Error && error.constructor.name !== "TypeError" && /[.]$/u.test(error.message))
  );
}
