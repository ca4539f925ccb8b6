import { join } from "node:path";
import { type CatalogueEntry, entryOf, readCatalogue } from "../../models/catalogue.ts";
import type { LlamaSettings } from "../../models/llama-protocol.ts";
import { readConfig } from "../../server/config.ts";

export const { modelsDir } = readConfig({});

/** The default model; `npm test` has fetched it. */
export const defaultEntry: CatalogueEntry = entryOf(readCatalogue(modelsDir), "smollm2-135m-instruct");
export const defaultModelFile = join(modelsDir, defaultEntry.file);

/** What the catalogue says of it, its template too: trying the file's own at each start is a third of it, and `models add` does so. */
export function llamaSettings(more: Partial<LlamaSettings> = {}): LlamaSettings {
  const { id, bytes, sha256, template = "auto" } = defaultEntry;
  return {
    id,
    bytes,
    sha256,
    file: defaultModelFile,
    contextTokens: 1024,
    parallel: 8,
    threads: 0,
    gpu: "off",
    prefillStepMs: 150,
    prefillShare: 0.8,
    cacheBytesMax: 2 ** 28,
    stallMs: 60_000,
    template,
    defaults: { temperature: 0.2 },
    ...more,
  };
}
