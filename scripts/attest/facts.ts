import { spawnSync } from "node:child_process";
import { createHash, getFips, X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { DEFAULT_CIPHERS, getCiphers } from "node:tls";
import { fileURLToPath } from "node:url";
import { authorities } from "../../certs/authorities.ts";
import { certificatesIn } from "../../certs/pem.ts";
import { readTlsMaterial } from "../../certs/tls-material.ts";
import { subjectLine } from "../../certs/x509.ts";
import { sha256Of } from "../../models/verify-file.ts";
import { makeCheckpoint } from "../../server/audit/checkpoint.ts";
import { lastStart } from "../../server/audit/snapshot.ts";
import type { Config } from "../../server/config.ts";
import { readPolicies } from "../../server/policy/policy.ts";
import type { Check } from "../doctor/check.ts";
import { version } from "../version.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** What a change board asks about an installation. */
export interface Facts {
  readonly format: "sallyport attestation 1";
  readonly made: string;
  readonly version: string;
  readonly host: string;
  /** What failed first, then warnings. */
  readonly checks: readonly Check[];
  /** As in the audit log, at this moment. */
  readonly audit: object | { readonly problem: string };
  readonly tls: object | { readonly problem: string };
  /** What the service found when it last started and tried to leave, from where it runs: `doctor` looks from where it was called. */
  readonly egress: object | { readonly problem: string };
  readonly openssl: OpenSsl;
  /** SHA-256 of every file of the product and its models, and of the configuration, by path; of a link, that of the file it leads to, or words where it leads to none. */
  readonly files: Readonly<Record<string, string>>;
  /** By package: SHA-256 over the sums of its files, as `sha256sum` prints them, in order of their paths. */
  readonly packages: Readonly<Record<string, string>>;
}

interface OpenSsl {
  readonly version: string;
  /** The provider is at work. */
  readonly fips: boolean;
  /** This runtime could be started with it (`--enable-fips`). */
  readonly fipsProvider: boolean;
  readonly sentence: string;
}

export async function gather(config: Config, checks: readonly Check[], hostname: string, progress: (text: string) => void): Promise<Facts> {
  const order = { fail: 0, warn: 1, ok: 2 };
  return {
    format: "sallyport attestation 1",
    made: new Date().toISOString(),
    version: version(),
    host: hostname,
    checks: checks.toSorted((a, b) => order[a.state] - order[b.state]),
    audit: stated(() => makeCheckpoint(config.dataDir)),
    tls: stated(() => tlsFacts(config)),
    egress: stated(() => lastEgress(config.dataDir)),
    openssl: openssl(),
    files: await filesOf(config, progress),
    packages: await packages(progress),
  };
}

/** Whether a provider is there shows in trying: where OpenSSL looks for one depends on how it was built, a configuration file and the environment. */
function openssl(): OpenSsl {
  const fips = getFips() === 1;
  const fipsProvider = fips || spawnSync(process.execPath, ["--enable-fips", "--eval", ""], { stdio: "ignore" }).status === 0;
  const sentence = fips
    ? "The FIPS provider is at work."
    : `The FIPS provider is not at work${fipsProvider ? ", though there is one" : ", and there is none here: this is OpenSSL as Node.js brings it"}.`;
  return { version: process.versions.openssl, fips, fipsProvider, sentence };
}

function lastEgress(dataDir: string): object {
  const started = lastStart(dataDir);
  if (started === undefined) throw new Error("The service was never started here.");
  return { at: started.at, ...JSON.parse(started.body).egress };
}

function tlsFacts({ dataDir, tls }: Config): object {
  const dir = join(dataDir, "certs");
  const { cert, foreign } = readTlsMaterial(dir);
  const of = (certificate: X509Certificate): object => ({
    subject: subjectLine(certificate),
    sha256: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    from: new Date(certificate.validFrom).toISOString(),
    until: new Date(certificate.validTo).toISOString(),
  });
  return {
    versionMin: tls.version_min,
    cipherSuites: tls.version_min === "TLSv1.3" ? getCiphers().filter((one) => one.startsWith("tls_")) : DEFAULT_CIPHERS.split(":"),
    clientCertificate: "required",
    expiredStreams: tls.expired_streams,
    identities: tls.identities,
    server: of(new X509Certificate(cert)),
    // As service and clients do: what is trusted stands there, whatever is in `roots/`.
    roots: certificatesIn(readFileSync(join(dir, "ca.pem"), "utf8")).map(of),
    issuing: authorities(dir, "issuing").map((one) => of(one.certificate)),
    foreign: foreign.map(of),
  };
}

/** Of the repository, without what is fetched or made; the models and the configuration by their own paths. */
async function filesOf({ dataDir, modelsDir, source, policy }: Config, progress: (text: string) => void): Promise<Record<string, string>> {
  const skipped = new Set(["node_modules", ".git", "data", relative(root, dataDir)]);
  const own = readdirSync(root).filter((name) => !skipped.has(name));
  const paths = own.flatMap((name) =>
    statSync(join(root, name), { throwIfNoEntry: false })?.isDirectory() ? below(join(root, name)) : [join(root, name)],
  );
  const models = existsSync(modelsDir) ? below(modelsDir) : [];
  const all = [...new Set([...paths, ...models, ...(source === undefined ? [] : [source]), ...policyFiles(policy)])].toSorted();
  const sums: Record<string, string> = {};
  for (const [index, path] of all.entries()) {
    progress(`${index} of ${all.length} files`);
    const near = relative(root, path);
    sums[near.startsWith("..") ? path : near] = await sumOf(path);
  }
  return sums;
}

function policyFiles(path: string): string[] {
  try {
    return [path, ...readPolicies(path).named.map(({ file }) => file)];
  } catch {
    return [path]; // what is wrong with it, the checks say
  }
}

async function packages(progress: (text: string) => void): Promise<Record<string, string>> {
  const dir = join(root, "node_modules");
  if (!existsSync(dir)) return {};
  const names = readdirSync(dir)
    .filter((name) => !name.startsWith("."))
    .flatMap((name) => (name.startsWith("@") ? readdirSync(join(dir, name)).map((inner) => `${name}/${inner}`) : [name]))
    .filter((name) => existsSync(join(dir, name, "package.json")));
  const sums: Record<string, string> = {};
  for (const [index, name] of names.entries()) {
    progress(`${index} of ${names.length} packages`);
    const own = join(dir, name);
    const whole = createHash("sha256");
    for (const path of below(own)) whole.update(`${await sumOf(path)}  ${relative(own, path)}\n`);
    const { version: at } = JSON.parse(readFileSync(join(own, "package.json"), "utf8")) as { version?: string };
    sums[`${name}@${at}`] = whole.digest("hex");
  }
  return sums;
}

async function sumOf(path: string): Promise<string> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isFile()) return await sha256Of(path);
  if (found === undefined) return "a broken link";
  return found.isDirectory() ? "a link to a directory: what is in it was not read" : "neither a file nor a directory";
}

/** Everything below a directory but directories, sorted. Links to directories are not followed. */
function below(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

function stated(look: () => object): object {
  try {
    return look();
  } catch (error) {
    return { problem: (error as Error).message };
  }
}
