import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { root } from "./support/appliance.ts";
import { scratchDir } from "./support/scratch.ts";

/** Who imports what, and whether the lint lets it. */
const imports: readonly (readonly [file: string, imported: string, allowed: boolean])[] = [
  ["models/x.ts", "./engine.ts", true],
  ["models/x.ts", "zod", true],
  ["models/x.ts", "../server/config.ts", false],
  ["models/x.ts", "../classifiers/classifier.ts", false],
  ["models/x.ts", "../certs/authority.ts", false],
  ["models/x.ts", "node-llama-cpp", false],
  ["models/llama-child.ts", "node-llama-cpp", true],
  ["models/llama-child.ts", "../server/config.ts", false],
  ["models/llama-grammar.ts", "node-llama-cpp", true],
  ["models/llama-load.ts", "node-llama-cpp", true],
  ["models/llama-load.ts", "../server/config.ts", false],
  ["models/prompt-tokens.ts", "node-llama-cpp", true],
  ["models/prompt-tokens.ts", "../server/config.ts", false],
  ["classifiers/pii/x.ts", "../../server/config.ts", false],
  ["classifiers/pii/x.ts", "../../models/engine.ts", false],
  ["classifiers/pii/x.ts", "onnxruntime-node", false],
  ["classifiers/pii/x.ts", "node:net", true],
  ["classifiers/onnx/pool.ts", "onnxruntime-node", false],
  ["classifiers/onnx/worker.ts", "onnxruntime-node", true],
  ["classifiers/onnx/worker.ts", "../../server/config.ts", false],
  ["certs/x.ts", "../server/config.ts", false],
  ["certs/x.ts", "node-forge", false],
  ["certs/der.ts", "node-forge", true],
  ["server/x.ts", "../models/engine.ts", true],
  ["server/x.ts", "../models/llama-engine.ts", false],
  ["server/x.ts", "../classifiers/classifier.ts", true],
  ["server/x.ts", "../classifiers/pii/patterns.ts", false],
  ["server/x.ts", "../certs/tls-material.ts", true],
  ["server/x.ts", "../scripts/command.ts", false],
  ["server/x.ts", "express", false],
  ["server/x.ts", "better-sqlite3", false],
  ["server/x.ts", "prom-client", false],
  ["server/http/x.ts", "prom-client", false],
  ["server/metrics.ts", "prom-client", true],
  ["server/metrics.ts", "express", false],
  ["server/http/x.ts", "express", true],
  ["server/http/x.ts", "@fastify/busboy", true],
  ["server/batches/x.ts", "@fastify/busboy", false],
  ["server/batches/x.ts", "better-sqlite3", false],
  ["server/http/x.ts", "better-sqlite3", false],
  ["server/http/routes/x.ts", "../../../models/pull.ts", false],
  ["server/http/x.ts", "./routes/models.ts", true],
  ["server/documents/x.ts", "parse5", true],
  ["server/documents/x.ts", "postal-mime", true],
  ["server/documents/x.ts", "@lezer/markdown", true],
  ["server/documents/x.ts", "re2js", false],
  ["server/documents/x.ts", "express", false],
  ["server/documents/x.ts", "../../models/pull.ts", false],
  ["server/wire/x.ts", "parse5", false],
  ["server/http/x.ts", "postal-mime", false],
  ["server/guards/x.ts", "@lezer/markdown", false],
  ["server/guards/x.ts", "re2js", false],
  ["server/guards/patterns.ts", "re2js", true],
  ["server/json-schema.ts", "ajv/dist/2020.js", true],
  ["server/wire/x.ts", "ajv/dist/2020.js", false],
  ["server/guards/patterns.ts", "parse5", false],
  ["classifiers/x.ts", "parse5", false],
  ["server/audit/x.ts", "better-sqlite3", true],
  ["server/audit/x.ts", "express", false],
  ["server/pipeline/x.ts", "zod", false],
  ["server/pipeline/x.ts", "@huggingface/tokenizers", false],
  ["server/pipeline/x.ts", "node:crypto", true],
  ["server/pipeline/x.ts", "./answer.ts", true],
  ["server/pipeline/x.ts", "../../models/engine.ts", true],
  ["server/pipeline/x.ts", "../http/app.ts", false],
  ["scripts/x.ts", "../server/appliance.ts", true],
  ["scripts/x.ts", "node-forge", false],
];

describe("the import fences", () => {
  let refused: Set<string>;
  const folder = (index: number): string => `case-${index}`;

  before(() => {
    const dir = scratchDir();
    const config = JSON.parse(readFileSync(join(root, "biome.json"), "utf8"));
    for (const override of config.overrides) override.includes = override.includes.map((glob: string) => `*/${glob}`);
    writeFileSync(join(dir, "biome.json"), JSON.stringify({ linter: { rules: { preset: "none" } }, overrides: config.overrides }));
    for (const [index, [file, imported]] of imports.entries()) {
      const path = join(dir, folder(index), file);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, `import it from "${imported}";\nconsole.log(it);\n`);
    }
    const { stdout, stderr } = spawnSync(
      join(root, "node_modules/.bin/biome"),
      ["lint", "--max-diagnostics=none", "--reporter=github", "."],
      { cwd: dir, encoding: "utf8" },
    );
    expect(stderr).to.match(/errors were emitted/u);
    refused = new Set([...stdout.matchAll(/noRestrictedImports,file=[^,]*(case-\d+)\//gu)].map(([, found]) => found ?? ""));
  });

  for (const [index, [file, imported, allowed]] of imports.entries()) {
    it(`${allowed ? "let" : "do not let"} ${file} import ${imported}`, () => expect(refused.has(folder(index))).to.equal(!allowed));
  }
});

describe("the folders of server/", () => {
  it("import one way, types too; a file beside them imports none, but for appliance.ts", () => {
    const layers = ["audit", "pipeline", "documents", "guards", "wire", "policy", "batches", "http"];
    const layerOf = (file: string): number => layers.indexOf(file.split("/")[0] ?? "");
    const server = join(root, "server");
    const upwards = readdirSync(server, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && file !== "appliance.ts")
      .flatMap((file) =>
        [...readFileSync(join(server, file), "utf8").matchAll(/ from "(\.[^"]+)";$/gmu)].map(([, to = ""]) => ({
          file,
          to: join(dirname(file), to),
        })),
      )
      .filter(({ file, to }) => layerOf(to) > layerOf(file));
    expect(upwards).to.deep.equal([]);
  });
});
