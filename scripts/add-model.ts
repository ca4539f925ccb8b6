import assert from "node:assert";
import { accessSync, constants, existsSync, renameSync, rmSync, statSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { addEntry, checkNames, readCatalogue } from "../models/catalogue.ts";
import { LlamaEngine } from "../models/llama-engine.ts";
import type { GgufFacts } from "../models/llama-protocol.ts";
import { type PinnedFile, sha256Of } from "../models/verify-file.ts";
import { unlessStopped } from "./engines.ts";
import { step } from "./progress.ts";

interface Given {
  readonly id?: string | undefined;
  readonly licence?: string | undefined;
}

/** Takes a GGUF file up: checks it, loads it once, copies it to the models directory and writes its entry. Leaves nothing when it fails. */
export async function addModel(file: string, modelsDir: string, given: Given, signal: AbortSignal): Promise<void> {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found === undefined) throw new Error(`${file} does not exist.`);
  if (!found.isFile()) throw new Error(`${file} is not a file. Name the GGUF file itself.`);
  accessSync(file, constants.R_OK);
  const name = basename(file);
  const id = given.id ?? name.replace(/\.gguf$/iu, "").toLowerCase();
  const target = join(modelsDir, name);
  const catalogue = readCatalogue(modelsDir);
  checkNames({ id, file: name, bytes: found.size, licence: given.licence });
  if (catalogue.some((entry) => entry.id === id)) throw new Error(`The catalogue has a model ${id} already. Give another name with --id.`);
  if (catalogue.some((entry) => entry.file === name)) throw new Error(`The catalogue has a model with the file ${name} already.`);
  const copies = file !== target;
  if (copies && existsSync(target)) throw new Error(`${target} exists, and is another file. Remove or rename one of them.`);
  const pinned = { id, bytes: found.size, sha256: await step("Reading the file", () => sha256Of(file, signal)) };
  const facts = await step("Loading it once", () => factsOf(file, pinned, signal));
  const licence = given.licence ?? facts.licence;
  if (!licence) throw new Error("The file does not say its licence. Give it with --licence.");
  try {
    if (copies) await step("Copying it", () => copyWhole(file, target, signal));
    addEntry(modelsDir, { ...pinned, file: name, licence, context_tokens: facts.contextTokens, template: facts.template });
  } catch (error) {
    if (copies) rmSync(target, { force: true });
    throw error;
  }
  console.log(`${id}: ${target}, licence ${licence}, context ${facts.contextTokens} tokens, chat template ${facts.template}.`);
  if (facts.template === "general")
    console.log("The file has no chat template that is known: if answers look wrong, set `template` in models/catalogue.yaml.");
  console.log(`Serve it: write "- id: ${id}" under models: in sallyport.yaml.`);
}

async function factsOf(file: string, pinned: PinnedFile, signal: AbortSignal): Promise<GgufFacts> {
  const loading = LlamaEngine.start(
    {
      ...pinned,
      file,
      contextTokens: 256,
      parallel: 1,
      threads: 0,
      gpu: "off",
      prefillStepMs: 300,
      prefillShare: 1,
      cacheBytesMax: 0,
      stallMs: 1_000,
      defaults: {},
    },
    0,
  );
  await using engine = await unlessStopped(loading, signal);
  assert(engine.facts);
  return engine.facts;
}

/** Shares the blocks where the file system can. */
async function copyWhole(file: string, target: string, signal: AbortSignal): Promise<void> {
  const part = `${target}.part`;
  try {
    await copyFile(file, part, constants.COPYFILE_FICLONE);
    signal.throwIfAborted();
    renameSync(part, target);
  } finally {
    rmSync(part, { force: true });
  }
}
