import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";

const share = z.number().min(0).max(1);

/** What every `model.json` says, which stands beside each `model.onnx`. The training writes both. */
const commonShape = {
  id: z.string().min(1),
  sha256: z.string().regex(/^[0-9a-f]{64}$/u),
  /** Longest window the model was trained on, special tokens included, and what neighbours share. */
  tokens_max: z.int().min(16).max(512),
  overlap: z.int().min(0).max(256),
};

const modelSchema = z.strictObject({
  ...commonShape,
  special: z.strictObject({ cls: z.int(), sep: z.int(), origins: z.record(z.string(), z.int()).optional() }),
  /** Logits are divided by it before they become a score. */
  temperature: z.number().positive(),
  /** From which score on a text is flagged, by origin; `any` where the origin does not matter. */
  thresholds: z.record(z.string(), share),
  /** Names of the logits: tags of a token classifier; risks and categories of `delicate`. */
  labels: z.array(z.string()).min(1),
  /** Two texts that a sound model tells apart. */
  self_test: z.strictObject({ positive: z.string(), negative: z.string() }),
});

const embeddingSchema = z.strictObject({
  ...commonShape,
  special: z.strictObject({ cls: z.int(), sep: z.int() }),
  /** Numbers in a vector. */
  dimensions: z.int().min(1),
  /** A text, one that says the same in other words, and one about something else. */
  self_test: z.strictObject({ text: z.string(), alike: z.string(), other: z.string() }),
});

export type ModelDescription = z.infer<typeof modelSchema>;

/** A trained model as it lies in the repository. */
export interface Model extends ModelDescription {
  readonly file: string;
}

/** From which score on a text of this origin is flagged. Throws where the description has none: without a threshold nothing would ever be. */
export function thresholdOf({ id, thresholds }: Model, origin: string): number {
  const threshold = thresholds[origin] ?? thresholds.any;
  if (threshold === undefined) throw new Error(`${id} has no threshold for ${origin}.`);
  return threshold;
}

/** The model whose vectors stand for texts. */
export interface EmbeddingModel extends z.infer<typeof embeddingSchema> {
  readonly file: string;
}

/** Reads `model.json` and checks that `model.onnx` is the file that it describes. */
export function readModel(folder: URL): Promise<Model> {
  return described(folder, modelSchema);
}

/** The same, for the model of embeddings. */
export function readEmbeddingModel(folder: URL): Promise<EmbeddingModel> {
  return described(folder, embeddingSchema);
}

async function described<Description extends { sha256: string }>(
  folder: URL,
  schema: z.ZodType<Description>,
): Promise<Description & { readonly file: string }> {
  const description = new URL("model.json", folder);
  const parsed = schema.safeParse(JSON.parse(readFileSync(description, "utf8")));
  if (!parsed.success) throw new Error(`${fileURLToPath(description)} is not a model's description: ${z.prettifyError(parsed.error)}`);
  const file = fileURLToPath(new URL("model.onnx", folder));
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  if (hash.digest("hex") !== parsed.data.sha256) {
    throw new Error(`${file} is not the file that model.json describes (SHA-256). Restore it from the repository or the bundle.`);
  }
  return { ...parsed.data, file };
}
