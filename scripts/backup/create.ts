import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { renameDurably } from "../../certs/write-file.ts";
import { readAuditKeys } from "../../server/audit/keys.ts";
import { publicText } from "../../server/audit/signing.ts";
import { snapshotAuditLog } from "../../server/audit/snapshot.ts";
import type { Config } from "../../server/config.ts";
import { readPolicies } from "../../server/policy/policy.ts";
import { version } from "../version.ts";
import { type Manifest, pack, unpack } from "./archive.ts";

/** What a running service writes by itself, or holds open, and what a file system has of its own. Files and batches are not in a backup: there they would outlive their time. */
const left = /^(?:audit\.|batches\.db|service\.(?:lock|url)|\.|replaced-|lost\+found$)/u;

/**
 * Writes a backup of the data directory, configuration, policies and the catalogue of models, encrypted for `recipient` (age), beside a running service. Proves
 * it before it returns, by restoring what was written into a scratch directory: a second key, which only this process ever holds, opens it once.
 */
export async function createBackup(config: Config, file: string, recipient: string, signal: AbortSignal): Promise<Manifest> {
  const { dataDir } = config;
  if (`${realpathSync(dirname(file))}/`.startsWith(`${realpathSync(dataDir)}/`))
    throw new Error(`${file} is inside the data directory, so that the next backup would hold this one. Name a file elsewhere.`);
  removeAbandoned(dataDir);
  // Beside what it is a copy of: on the same disk, and for its owner only.
  const scratch = mkdtempSync(join(dataDir, ".backup-"));
  const part = `${file}.${process.pid}.part`;
  try {
    const staged = join(scratch, "staged");
    mkdirSync(staged, { mode: 0o700 });
    const head = snapshotAuditLog(dataDir, staged);
    for (const name of readdirSync(dataDir).filter((one) => !left.test(one))) {
      cpSync(join(dataDir, name), join(staged, name), {
        recursive: true,
        preserveTimestamps: true,
        // What is kept elsewhere (a volume, a ConfigMap) would be missing where this is restored.
        dereference: true,
        filter: (path) => !leftBelow.test(path),
      });
    }
    const written = join(staged, "configuration");
    mkdirSync(written, { recursive: true, mode: 0o700 });
    // Names the operator's own models, and pins them.
    const catalogue = join(config.modelsDir, "catalogue.yaml");
    for (const path of [
      ...(config.source === undefined ? [] : [config.source]),
      config.policy,
      ...readPolicies(config.policy).named.map(({ file }) => file),
      ...(existsSync(catalogue) ? [catalogue] : []),
    ])
      copyFileSync(path, join(written, basename(path)));
    const once = await generateX25519Identity();
    const about = { sallyport: version(), made: new Date().toISOString(), head };
    const { signing } = readAuditKeys(dataDir);
    await pack(staged, { ...about, key: publicText(signing) }, signing, part, [recipient, await identityToRecipient(once)], signal);
    const restored = join(scratch, "restored");
    mkdirSync(restored, { mode: 0o700 });
    const manifest = await unpack(part, once, restored, signal);
    if (existsSync(file)) throw new Error(`${file} was made by another backup meanwhile. Name another file.`);
    renameDurably(part, file);
    return manifest;
  } catch (error) {
    rmSync(part, { force: true });
    throw signal.aborted ? signal.reason : error;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Of a rotation that is at work: the copy of the log is under the key from before. And what a volume that is mounted there has. */
const leftBelow = /[\\/](?:audit\.key\.[a-z]+|lost\+found)$/u;

/** What a backup that was killed has left: a day later none is at work any more. */
function removeAbandoned(dataDir: string): void {
  const abandoned = readdirSync(dataDir)
    .filter((name) => name.startsWith(".backup-"))
    .map((name) => join(dataDir, name))
    .filter((path) => Date.now() - statSync(path).mtimeMs > 86_400_000);
  for (const path of abandoned) rmSync(path, { recursive: true });
}
