import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type CatalogueEntry, entryOf, readCatalogue } from "../../models/catalogue.ts";
import type { Package } from "./packages.ts";

interface Described {
  readonly root: string;
  readonly version: string;
  readonly packages: readonly Package[];
  readonly modelsDir: string;
  /** Ids of the catalogue. */
  readonly models: readonly string[];
  /** SHA-256 by path in the bundle. */
  readonly sums: ReadonlyMap<string, string>;
}

/**
 * The bill of materials, CycloneDX 1.6. Made here and not by `npm sbom`, whose output has a random number and the time in it, lists what is not carried,
 * and knows neither native libraries nor models.
 */
export function sbomOf({ root, version, packages, modelsDir, models, sums }: Described): object {
  const catalogue = readCatalogue(modelsDir);
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: { component: { type: "application", "bom-ref": "sallyport", name: "sallyport", version, ...licensed("Apache-2.0") } },
    components: [
      ...packages.map(library),
      ...nativeLibraries(root, packages),
      ...[...sums].filter(([path]) => /\.(?:node|so)(?:\.[\d.]+)?$|\/bin\/node$/u.test(path)).map(([path, sum]) => binary(path, sum)),
      ...models.map((id) => model(entryOf(catalogue, id))),
      ...[...sums].filter(([path]) => /^classifiers\/\w+\/model\.onnx$/u.test(path)).map(([path, sum]) => classifier(root, path, sum)),
      data("all-minilm-l6-v2-tokenizer", sums.get("classifiers/tokenizer/tokenizer.json") ?? ""),
    ],
  };
}

function library({ path, name, version, integrity, licence }: Package): object {
  const [algorithm, digest = ""] = integrity?.split("-") ?? [];
  const hashes = algorithm === "sha512" ? { hashes: [{ alg: "SHA-512", content: Buffer.from(digest, "base64").toString("hex") }] } : {};
  const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
  return { type: "library", "bom-ref": path, name, version, purl, ...hashes, ...licensed(licence) };
}

/** What is compiled into the runtime: its name, what `process.versions` calls it, its licence. */
const inNode = [
  ["Node.js", "node", "MIT"],
  ["OpenSSL", "openssl", "Apache-2.0"],
  ["V8", "v8", "BSD-3-Clause"],
  ["libuv", "uv", "MIT"],
  ["llhttp", "llhttp", "MIT"],
  ["nghttp2", "nghttp2", "MIT"],
  ["c-ares", "ares", "MIT"],
  ["ICU", "icu", "Unicode-3.0"],
  ["zlib", "zlib", "Zlib"],
  ["Brotli", "brotli", "MIT"],
  ["Zstandard", "zstd", "BSD-3-Clause"],
  ["simdjson", "simdjson", "Apache-2.0"],
  ["simdutf", "simdutf", "Apache-2.0"],
  ["ada", "ada", "Apache-2.0"],
] as const;

/** What is compiled into the packages' binaries, with the version that each says of itself. */
function nativeLibraries(root: string, packages: readonly Package[]): object[] {
  const read = (path: string): string => readFileSync(join(root, "node_modules", path), "utf8");
  const found = (text: string, pattern: RegExp): string => {
    const version = pattern.exec(text)?.[1];
    if (version === undefined) throw new Error(`No version matches ${pattern}: the bill of materials would be wrong.`);
    return version;
  };
  const node = join(root, "node_modules", `node-linux-${process.arch}`, "bin", "node");
  const versions: Record<string, string> = JSON.parse(execFileSync(node, ["-p", "JSON.stringify(process.versions)"], { encoding: "utf8" }));
  const sqlite = read("better-sqlite3/deps/sqlite3/sqlite3.c"); // both in one file
  const part = (name: string): string => found(sqlite, new RegExp(`#define SQLITE3MC_VERSION_${name} +(\\d+)`, "u"));
  const onnx = packages.find(({ name }) => name === "onnxruntime-node")?.version ?? "";
  return (
    [
      ...inNode.map(([name, key, licence]) => [name, versions[key] ?? "", licence, "node-linux"] as const),
      ["llama.cpp", found(read("node-llama-cpp/llama/llama.cpp.info.json"), /"tag": "([^"]+)"/u), "MIT", "@node-llama-cpp"],
      ["SQLite", found(sqlite, /#define SQLITE_VERSION +"([^"]+)"/u), "blessing", "better-sqlite3"],
      ["SQLite3 Multiple Ciphers", `${part("MAJOR")}.${part("MINOR")}.${part("RELEASE")}`, "MIT", "better-sqlite3"],
      ["ONNX Runtime", onnx, "MIT", "onnxruntime-node"],
    ] as const
  ).map(([name, version, licence, carrier]) => {
    const properties = [{ name: "sallyport:carried-in", value: packages.find((one) => one.name.startsWith(carrier))?.name ?? carrier }];
    return { type: "library", "bom-ref": `native:${name}`, name, version, ...licensed(licence), properties };
  });
}

function binary(path: string, sum: string): object {
  return { type: "file", "bom-ref": `file:${path}`, name: path, ...hashed(sum) };
}

function model({ id, sha256, licence }: CatalogueEntry): object {
  return {
    type: "machine-learning-model",
    "bom-ref": `model:${id}`,
    name: id,
    version: sha256.slice(0, 12),
    ...hashed(sha256),
    ...licensed(licence),
  };
}

function classifier(root: string, path: string, sum: string): object {
  const folder = path.slice(0, -basename(path).length);
  const { id } = JSON.parse(readFileSync(join(root, folder, "model.json"), "utf8"));
  return {
    type: "machine-learning-model",
    "bom-ref": `classifier:${id}`,
    name: id,
    version: sum.slice(0, 12),
    ...hashed(sum),
    ...licensed("Apache-2.0"),
  };
}

function data(name: string, sum: string): object {
  return { type: "data", "bom-ref": `data:${name}`, name, version: sum.slice(0, 12), ...hashed(sum), ...licensed("Apache-2.0") };
}

function hashed(sha256: string): object {
  return { hashes: [{ alg: "SHA-256", content: sha256 }] };
}

function licensed(licence: string): object {
  return {
    licenses: [/ (?:OR|AND|WITH) /u.test(licence) ? { expression: licence.replace(/^\((.*)\)$/u, "$1") } : { license: { id: licence } }],
  };
}
