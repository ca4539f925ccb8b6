import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { appendFile, rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { sha256Of } from "../../models/verify-file.ts";
import type { Config } from "../../server/config.ts";
import { commitOf, contentsOf } from "./contents.ts";
import { type BundleFacts, factsText, readMember, sumsIn, sumsText } from "./members.ts";
import { productionPackages } from "./packages.ts";
import type { ReleaseKey } from "./release-key.ts";
import { sbomOf } from "./sbom.ts";
import { makeSeal } from "./seal.ts";

/** Raised when an older version could not read what a newer one wrote into the data directory. */
const dataFormat = 1;

interface Order {
  readonly root: string;
  /** Defaults to `sallyport-VERSION-linux-ARCH.bundle` where the command runs. */
  readonly out: string | undefined;
  readonly config: Config;
  /** Ids of the catalogue. */
  readonly models: readonly string[];
  readonly key: ReleaseKey;
  /** An earlier bundle; what it carried unchanged is left out. */
  readonly since: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * Writes one file: a tar archive, then the seal. Not compressed: the greater part are weights, which do not shrink, and two versions of a compressor
 * would make two different files of the same commit.
 */
export async function createBundle(order: Order): Promise<BundleFacts & { readonly file: string }> {
  const { root, config, models, signal } = order;
  const version: string = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version;
  const out = resolve(order.out ?? `sallyport-${version}-linux-${process.arch}.bundle`);
  const packages = productionPackages(root, config.engine.gpu);
  const contents = await contentsOf(root, packages, config, models, signal);
  const sums = new Map<string, string>();
  for (const [path, source] of contents) sums.set(path, await sha256Of(source, signal));
  const stage = mkdtempSync(join(tmpdir(), "sallyport-bundle-"));
  try {
    const own = new Map([
      ["sbom.cdx.json", `${JSON.stringify(sbomOf({ root, version, packages, modelsDir: config.modelsDir, models, sums }), null, 1)}\n`],
    ]);
    const base = order.since === undefined ? undefined : await baseOf(order.since);
    const commit = commitOf(root);
    const facts: BundleFacts = {
      version,
      commit: commit.id,
      target: `linux-${process.arch}`,
      dataFormat,
      ...(base === undefined ? {} : { base: base.sha256 }),
    };
    own.set("BUNDLE", factsText(facts));
    for (const [path, text] of own) sums.set(path, createHash("sha256").update(text).digest("hex"));
    own.set("FILES", sumsText(sums));
    for (const [path, text] of own) writeFileSync(join(stage, path), text);
    for (const [path, source] of contents) if (isCarried(path, sums.get(path), base?.sums)) link(source, join(stage, path));
    await write(stage, `${out}.partial`, commit.at, order.key, signal);
    await rename(`${out}.partial`, out);
    return { ...facts, file: out };
  } finally {
    rmSync(stage, { recursive: true, force: true });
    rmSync(`${out}.partial`, { force: true });
  }
}

async function baseOf(bundle: string): Promise<{ readonly sha256: string; readonly sums: ReadonlyMap<string, string> }> {
  const files = await readMember(bundle, "FILES");
  return { sha256: createHash("sha256").update(files).digest("hex"), sums: sumsIn(files) };
}

/** The installer and what it checks a bundle with are in every one. */
function isCarried(path: string, sum: string | undefined, base: ReadonlyMap<string, string> | undefined): boolean {
  return base === undefined || base.get(path) !== sum || path === "install.sh" || path.startsWith("scripts/bundle/");
}

function link(source: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(source, path);
}

/** As reproducible-builds.org asks of an archive: sorted, one time, one owner, one mode, the oldest format. */
async function write(stage: string, out: string, at: number, { key, rotations }: ReleaseKey, signal: AbortSignal): Promise<void> {
  const how = ["--format=ustar", "--sort=name", `--mtime=@${at}`, "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX"];
  const what = ["--dereference", "--hard-dereference", "--transform=s,^\\./,,", "."];
  const tar = spawn("tar", ["--create", "--file=-", ...how, "--directory", stage, ...what], { stdio: ["ignore", "pipe", "pipe"], signal });
  let said = "";
  tar.stderr.on("data", (data) => {
    said += String(data);
  });
  const ended = once(tar, "close");
  const hash = createHash("sha256");
  tar.stdout.on("data", (data) => hash.update(data));
  await Promise.all([pipeline(tar.stdout, createWriteStream(out), { signal }), ended]);
  if (tar.exitCode !== 0) throw new Error(`tar ended with ${tar.exitCode}: ${said.trim()}`);
  await appendFile(out, makeSeal(hash.digest("hex"), key, rotations), { flush: true });
}
