import { constants, copyFileSync, existsSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { addEntry, type CatalogueEntry, entryOf, readCatalogue } from "../../models/catalogue.ts";
import { LlamaEngine } from "../../models/llama-engine.ts";
import { pull } from "../../models/pull.ts";
import { sha256Of, verifyFile } from "../../models/verify-file.ts";
import { readConfig } from "../../server/config.ts";
import { type Command, CommandError, UsageError } from "../command.ts";
import { step } from "../progress.ts";
import { stopSignal } from "../stop-signal.ts";

const options = { id: { type: "string" }, licence: { type: "string" }, json: { type: "boolean", default: false } } as const;

export const models: Command = {
  summary: "list, fetch, add and verify models",
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
    const [action, name, ...rest] = positionals;
    if (rest.length > 0) throw new UsageError(`"${rest[0]}" is one argument too many.`);
    const { modelsDir } = readConfig();
    if (action === "list" && name === undefined) list(modelsDir, values.json);
    else if (action === "pull" && name !== undefined) await fetchModel(name, modelsDir, stopSignal());
    else if (action === "add" && name !== undefined) await add(resolve(name), modelsDir, values);
    else if (action === "verify") return await verify(name, modelsDir);
    else throw new UsageError("Say what to do: `models list`, `pull ID`, `add FILE` or `verify`.");
    return 0;
  },
};

/** Fetches a model of the catalogue unless its file is here and right. */
export async function fetchModel(id: string, modelsDir: string, signal: AbortSignal): Promise<void> {
  const entry = entryOf(readCatalogue(modelsDir), id);
  if (await isRight(entry, modelsDir)) {
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

async function verify(id: string | undefined, modelsDir: string): Promise<number> {
  const catalogue = readCatalogue(modelsDir);
  const wanted = id === undefined ? catalogue.filter((entry) => stateOf(entry, modelsDir) !== "not here") : [entryOf(catalogue, id)];
  let failed = false;
  for (const entry of wanted) {
    try {
      await step(`Checking ${entry.id}`, () => verifyFile(join(modelsDir, entry.file), entry));
      console.log(`${entry.id}: right`);
    } catch (error) {
      failed = true;
      console.log(`${entry.id}: WRONG. ${(error as Error).message}`);
    }
  }
  if (wanted.length === 0) console.log("No model file is here. Fetch one: npx sallyport models pull ID");
  return failed ? 1 : 0;
}

async function add(file: string, modelsDir: string, given: { id?: string | undefined; licence?: string | undefined }): Promise<void> {
  if (!existsSync(file)) throw new CommandError(`${file} does not exist.`);
  const id =
    given.id ??
    basename(file)
      .replace(/\.gguf$/iu, "")
      .toLowerCase();
  const target = join(modelsDir, basename(file));
  const catalogue = readCatalogue(modelsDir);
  if (catalogue.some((entry) => entry.id === id))
    throw new CommandError(`The catalogue has a model ${id} already. Give another name with --id.`);
  if (catalogue.some((entry) => entry.file === basename(file)))
    throw new CommandError(`The catalogue has a model with the file ${basename(file)} already.`);
  if (file !== target && existsSync(target)) throw new CommandError(`${target} exists, and is another file. Remove or rename one of them.`);
  const pinned = { id, bytes: statSync(file).size, sha256: await step("Reading the file", () => sha256Of(file)) };
  const facts = await step("Loading it once", () => factsOf(file, pinned));
  const licence = given.licence ?? facts.licence;
  if (licence === undefined) throw new CommandError("The file does not say its licence. Give it with --licence.");
  if (file !== target) copyWhole(file, target);
  addEntry(modelsDir, { ...pinned, file: basename(file), licence, context_tokens: facts.contextTokens, template: facts.template });
  console.log(`${id}: ${target}, licence ${licence}, context ${facts.contextTokens} tokens, chat template ${facts.template}.`);
  if (facts.template === "general")
    console.log("The file has no chat template that is known: if answers look wrong, set `template` in models/catalogue.yaml.");
  console.log(`Serve it: write "- id: ${id}" under models: in sallyport.yaml.`);
}

async function factsOf(file: string, pinned: { id: string; bytes: number; sha256: string }) {
  await using engine = await LlamaEngine.start({ ...pinned, file, contextTokens: 256, parallel: 1, threads: 0, defaults: {} }, 0);
  if (engine.facts === undefined) throw new Error("the engine is ready and has no facts");
  return engine.facts;
}

/** Shares the blocks where the file system can. */
function copyWhole(file: string, target: string): void {
  try {
    copyFileSync(file, `${target}.part`, constants.COPYFILE_FICLONE);
    renameSync(`${target}.part`, target);
  } finally {
    rmSync(`${target}.part`, { force: true });
  }
}

async function isRight(entry: CatalogueEntry, modelsDir: string): Promise<boolean> {
  if (stateOf(entry, modelsDir) !== "here") return false;
  return await verifyFile(join(modelsDir, entry.file), entry).then(
    () => true,
    () => false,
  );
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}
