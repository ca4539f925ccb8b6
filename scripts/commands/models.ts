import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type CatalogueEntry, entryOf, pinOf, readCatalogue } from "../../models/catalogue.ts";
import { pull } from "../../models/pull.ts";
import { verifyFile } from "../../models/verify-file.ts";
import { readConfig } from "../../server/config.ts";
import { type Command, refuseOthers, UsageError } from "../command.ts";
import { step } from "../progress.ts";
import { stopSignal } from "../stop-signal.ts";

const options = { id: { type: "string" }, licence: { type: "string" }, json: { type: "boolean" } } as const;

/** What each action takes. */
const taken: Record<string, readonly string[]> = { list: ["json"], pull: [], add: ["id", "licence"], verify: [] };

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
    const [action = "", name, ...rest] = positionals;
    if (rest.length > 0) throw new UsageError(`"${rest[0]}" is one argument too many.`);
    refuseOthers(`models ${action}`, values, taken[action] ?? Object.keys(options));
    const { modelsDir } = readConfig();
    if (action === "list" && name === undefined) list(modelsDir, values.json ?? false);
    else if (action === "pull" && name !== undefined) await fetchModel(name, modelsDir, stopSignal());
    else if (action === "add" && name !== undefined) {
      const { addModel } = await import("../add-model.ts"); // with the engine, which no other action needs
      await addModel(resolve(name), modelsDir, values, stopSignal());
    } else if (action === "verify") return await verify(name, modelsDir, stopSignal());
    else throw new UsageError("Say what to do: `models list`, `pull ID`, `add FILE` or `verify`.");
    return 0;
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

function list(modelsDir: string, json: boolean): void {
  const rows = readCatalogue(modelsDir).map((entry) => ({ ...entry, state: stateOf(entry, modelsDir) }));
  if (json) console.log(JSON.stringify(rows));
  else
    for (const { id, bytes, context_tokens, licence, state } of rows)
      console.log(
        `${id.padEnd(32)}${`${megabytes(bytes)} MB`.padEnd(10)}${`${context_tokens} tokens`.padEnd(16)}${licence.padEnd(14)}${state}`,
      );
}

function stateOf({ file, bytes }: CatalogueEntry, modelsDir: string): "here" | "not here" | "wrong size" {
  const path = join(modelsDir, file);
  if (!existsSync(path)) return "not here";
  return statSync(path).size === bytes ? "here" : "wrong size";
}

async function verify(id: string | undefined, modelsDir: string, signal: AbortSignal): Promise<number> {
  const catalogue = readCatalogue(modelsDir);
  const wanted = id === undefined ? catalogue.filter((entry) => stateOf(entry, modelsDir) !== "not here") : [entryOf(catalogue, id)];
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
