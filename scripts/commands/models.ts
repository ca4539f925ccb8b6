import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type CatalogueEntry, entryOf, pinOf, readCatalogue } from "../../models/catalogue.ts";
import { pull } from "../../models/pull.ts";
import { verifyFile } from "../../models/verify-file.ts";
import { readConfig } from "../../server/config.ts";
import { type Action, actionOf, type Command } from "../command.ts";
import { step } from "../progress.ts";
import { stopSignal } from "../stop-signal.ts";

const options = { id: { type: "string" }, licence: { type: "string" }, json: { type: "boolean" } } as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>["values"];

interface Call {
  readonly modelsDir: string;
  /** An id or a file, if any. */
  readonly name: string | undefined;
  readonly values: Values;
}

const actions: Readonly<Record<string, Action<[Call]>>> = {
  list: { options: ["json"], run: list },
  pull: { options: [], argument: "ID", run: pullModel },
  add: { options: ["id", "licence"], argument: "FILE", run: add },
  verify: { options: [], argument: "[ID]", run: verify },
};

export const models: Command = {
  usage: `Usage: npx sallyport models list | pull ID | add FILE | verify [ID] [options]

  list [--json]      what the catalogue (models/catalogue.yaml) has, and which files are here
  pull ID            fetch a model from its source; goes on where it was interrupted, and checks the SHA-256
  add FILE           take a GGUF file up: load it once, copy it to the models directory, and write its size, SHA-256,
                     licence and chat template into the catalogue
    --id ID          its name in calls. Default: the file's name without .gguf
    --licence TEXT   default: what the file says
  verify [ID]        check the files that are here against the catalogue; exit status 1 when one differs

The models directory is SALLYPORT_MODELS (default models). Name the model in sallyport.yaml (models:) to serve it.`,

  async run(args) {
    const { values, positionals } = parseArgs({ args, allowPositionals: true, options });
    const action = actionOf("models", actions, positionals, values);
    return await action.run({ modelsDir: readConfig().modelsDir, name: positionals[1], values });
  },
};

/** Fetches a model of the catalogue unless its file is here and right. */
export async function fetchModel(id: string, modelsDir: string, signal: AbortSignal): Promise<void> {
  const entry = entryOf(readCatalogue(modelsDir), id);
  if (await isRight(entry, modelsDir, signal)) {
    console.error(`${entry.file} is here, and its SHA-256 is right.`);
    return;
  }
  await step(`Fetching ${id} (${megabytes(entry.bytes)} MB)`, (progress) => pull(entry, modelsDir, { signal, progress }));
  console.error(`${id}: ${join(modelsDir, entry.file)}, SHA-256 as the catalogue says.`);
}

function list({ modelsDir, values: { json } }: Call): number {
  const rows = readCatalogue(modelsDir).map((entry) => ({ ...entry, state: stateOf(entry, modelsDir) }));
  if (json) console.log(JSON.stringify(rows));
  else
    for (const { id, bytes, context_tokens, licence, state } of rows)
      console.log(
        `${id.padEnd(32)}${`${megabytes(bytes)} MB`.padEnd(10)}${`${context_tokens} tokens`.padEnd(16)}${licence.padEnd(14)}${state}`,
      );
  return 0;
}

async function pullModel({ modelsDir, name = "" }: Call): Promise<number> {
  await fetchModel(name, modelsDir, stopSignal());
  return 0;
}

async function add({ modelsDir, name = "", values }: Call): Promise<number> {
  const { addModel } = await import("../add-model.ts"); // with the engine, which no other action needs
  await addModel(resolve(name), modelsDir, values, stopSignal());
  return 0;
}

function stateOf({ file, bytes }: CatalogueEntry, modelsDir: string): "here" | "not here" | "wrong size" {
  const path = join(modelsDir, file);
  if (!existsSync(path)) return "not here";
  return statSync(path).size === bytes ? "here" : "wrong size";
}

async function verify({ modelsDir, name }: Call): Promise<number> {
  const signal = stopSignal();
  const catalogue = readCatalogue(modelsDir);
  const wanted = name === undefined ? catalogue.filter((entry) => stateOf(entry, modelsDir) !== "not here") : [entryOf(catalogue, name)];
  let failed = false;
  for (const entry of wanted) {
    try {
      await step(`Checking ${entry.id}`, () => verifyFile(join(modelsDir, entry.file), pinOf(entry), signal));
      console.log(`${entry.id}: right`);
    } catch (error) {
      signal.throwIfAborted();
      failed = true;
      console.log(`${entry.id}: WRONG. ${(error as Error).message}`);
    }
  }
  if (wanted.length === 0) console.log("No model file is here. Fetch one: npx sallyport models pull ID");
  return failed ? 1 : 0;
}

async function isRight(entry: CatalogueEntry, modelsDir: string, signal: AbortSignal): Promise<boolean> {
  if (stateOf(entry, modelsDir) !== "here") return false;
  return await verifyFile(join(modelsDir, entry.file), pinOf(entry), signal).then(
    () => true,
    () => {
      signal.throwIfAborted();
      return false;
    },
  );
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}
