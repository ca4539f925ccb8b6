import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import type { GpuChoice } from "../../models/gpu.ts";

const names = z.union([z.string().transform((one) => [one]), z.array(z.string())]).optional();
const ranges = z.record(z.string(), z.string()).prefault({});

/** What `package-lock.json` says of one package. */
const lockedSchema = z.object({
  name: z.string().optional(),
  version: z.string(),
  integrity: z.string().optional(),
  license: z.string().optional(),
  os: names,
  cpu: names,
  libc: names,
  dependencies: ranges,
  optionalDependencies: ranges,
});
const lockfileSchema = z.object({ packages: z.record(z.string(), lockedSchema) });

export interface Package {
  /** Where it lies, as `node_modules/NAME` or deeper. */
  readonly path: string;
  /** As the registry knows it. */
  readonly name: string;
  readonly version: string;
  /** Subresource integrity of what was installed. */
  readonly integrity: string | undefined;
  readonly licence: string;
}

/** What a package brings for building it, for other platforms, or for reading about it. */
const leftOut: readonly (readonly [packageName: RegExp, keep: RegExp | undefined, drop: RegExp | undefined])[] = [
  [/./u, undefined, /(?:^|\/)\.|\.map$|\.d\.[cm]?ts$/u],
  [/^onnxruntime-node$/u, undefined, new RegExp(`^bin/napi-v\\d+/(?!linux/${process.arch}/)`, "u")],
  [/^better-sqlite3/u, undefined, new RegExp(`^(?:deps|src)/|^prebuilds/(?!linux-${process.arch}\\.node$)`, "u")],
  [/^node-llama-cpp$/u, undefined, /^llama\/(?!.*\.json$)/u],
  [/^node-linux-/u, /^(?:bin\/node|LICENSE|package\.json)$/u, undefined],
];

/** Only this platform's builds of the engine are loaded: that for the CPU, and one for GPUs where the configuration names it. */
function isForeign(name: string, gpu: GpuChoice): boolean {
  const own = `@node-llama-cpp/linux-${process.arch}`;
  return name.startsWith("@node-llama-cpp/") && name !== own && !(name.startsWith(`${own}-`) && name.split("-").includes(gpu));
}

/**
 * The packages that run on this platform, by the lockfile: what the service depends on, and nothing that only development does. Throws when what is
 * installed is something else.
 */
export function productionPackages(root: string, gpu: GpuChoice): Package[] {
  const { packages } = lockfileSchema.parse(JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")));
  const found = new Map<string, Package>();
  const take = (path: string): void => {
    const locked = packages[path];
    if (locked === undefined || found.has(path) || !isFor(locked)) return;
    const name = locked.name ?? nameAt(path);
    if (isForeign(name, gpu)) return;
    if (path !== "") found.set(path, installed(root, path, name, locked));
    for (const wanted of Object.keys({ ...locked.dependencies, ...locked.optionalDependencies })) {
      const at = resolved(packages, path, wanted);
      if (at !== undefined) take(at);
      else if (!(wanted in locked.optionalDependencies)) throw new Error(`package-lock.json has no ${wanted}, which ${name} needs.`);
    }
  };
  take("");
  return [...found.values()].toSorted((one, other) => (one.path < other.path ? -1 : 1));
}

/** Paths of a package's files that are carried, relative to it, sorted. */
export function filesOf(root: string, { path, name }: Package): string[] {
  const rules = leftOut.filter(([of]) => of.test(name));
  return globSync("**", { cwd: join(root, path), withFileTypes: true, exclude: (entry) => entry.name === "node_modules" })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(root, path).length + 1))
    .filter((file) => rules.every(([, keep, drop]) => keep?.test(file) !== false && drop?.test(file) !== true))
    .toSorted();
}

function isFor({ os, cpu, libc }: z.infer<typeof lockedSchema>): boolean {
  const allows = (list: string[] | undefined, one: string): boolean => list === undefined || list.includes(one);
  return allows(os, "linux") && allows(cpu, process.arch) && allows(libc, "glibc");
}

function installed(root: string, path: string, name: string, { version, integrity, license }: z.infer<typeof lockedSchema>): Package {
  const file = join(root, path, "package.json");
  const has = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).version : "nothing";
  if (has !== version)
    throw new Error(`${path} holds ${has} instead of the lockfile's ${name} ${version}: run \`npm ci\`, then this again.`);
  if (license === undefined) throw new Error(`package-lock.json names no licence for ${name} ${version}: it can't be handed on.`);
  return { path, name, version, integrity, licence: license };
}

/** Where `require` would look from `path` upwards. */
function resolved(packages: Record<string, unknown>, path: string, name: string): string | undefined {
  for (let from = path; ; from = dirname(from)) {
    const at = from === "" || from === "." ? `node_modules/${name}` : `${from}/node_modules/${name}`;
    if (at in packages) return at;
    if (from === "" || from === ".") return undefined;
  }
}

function nameAt(path: string): string {
  return path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
}
