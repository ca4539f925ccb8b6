import { join } from "node:path";
import { entryOf, pinOf, readCatalogue } from "../../models/catalogue.ts";
import { verifyFile } from "../../models/verify-file.ts";
import type { Config } from "../../server/config.ts";
import { type Check, type Diagnosis, examined } from "./check.ts";

export async function models(config: Config): Promise<Check[]> {
  const checks = await Promise.all(config.models.map((model) => examined("model", () => examine(model, config))));
  return checks.flat();
}

async function examine({ id, engine: kind }: Config["models"][number], { modelsDir, engine }: Config): Promise<Diagnosis> {
  if (kind === "echo") return { state: "ok", detail: `${id}: the echo engine, for drills` };
  const entry = entryOf(readCatalogue(modelsDir), id);
  await verifyFile(join(modelsDir, entry.file), pinOf(entry));
  const found = `${id}: ${entry.file}, SHA-256 as the catalogue says`;
  if (engine.context_tokens <= entry.context_tokens) return { state: "ok", detail: found };
  const context = `engine.context_tokens is ${engine.context_tokens}, and the model was trained for ${entry.context_tokens}: it gets those`;
  return { state: "warn", detail: `${found}; ${context}` };
}
