import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { entryOf, pinOf, readCatalogue } from "../../models/catalogue.ts";
import { verifyFile } from "../../models/verify-file.ts";
import type { Config } from "../../server/config.ts";
import { filesOf, type Package } from "./packages.ts";

/** Tracked, and of no use where the service runs. */
const leftOut =
  /^(?:test|\.ci|bench\/results)\/|^classifiers\/training\/.*(?<!\.md)$|\/reference\.jsonl$|^(?:biome\.json|tsconfig\.json|\.\w+)$/u;

export interface Commit {
  /** Hexadecimal; ends in `+changes` where a tracked file is not as committed. */
  readonly id: string;
  /** Seconds since 1970. */
  readonly at: number;
}

/** Every file that is carried: its path in the bundle, and where it lies now. Sorted. */
export async function contentsOf(
  root: string,
  packages: readonly Package[],
  { modelsDir }: Config,
  models: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const contents = new Map<string, string>();
  for (const file of git(root, "ls-files", "-z")
    .split("\0")
    .filter((one) => one !== "" && !leftOut.test(one)))
    if (existsSync(join(root, file))) contents.set(file, join(root, file));
  contents.set("install.sh", join(root, "scripts/install/install.sh"));
  for (const one of packages) for (const file of filesOf(root, one)) contents.set(join(one.path, file), join(root, one.path, file));
  const catalogue = readCatalogue(modelsDir);
  contents.set("models/catalogue.yaml", join(modelsDir, "catalogue.yaml"));
  for (const id of models) {
    const entry = entryOf(catalogue, id);
    await verifyFile(join(modelsDir, entry.file), pinOf(entry), signal);
    contents.set(join("models", entry.file), join(modelsDir, entry.file));
  }
  return new Map([...contents].toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

export function commitOf(root: string): Commit {
  const [id = "", at = ""] = git(root, "log", "-1", "--format=%H %ct").trim().split(" ");
  const changed = git(root, "status", "--porcelain", "--untracked-files=no") !== "";
  return { id: `${id}${changed ? "+changes" : ""}`, at: Number(at) };
}

function git(root: string, ...args: string[]): string {
  try {
    return execFileSync("git", ["-C", root, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26 });
  } catch (error) {
    const { stderr, code } = error as { stderr?: string; code?: string }; // what `execFileSync` throws
    throw new Error(`A bundle is made of a git repository, and git says: ${(stderr ?? code ?? "nothing").trim()}`);
  }
}
