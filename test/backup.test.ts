import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { Decrypter, Encrypter } from "age-encryption";
import { expect } from "chai";
import { request } from "undici";
import { revoke } from "../certs/authority.ts";
import { revokedAuthority } from "../certs/register.ts";
import { renewClients, retire, rotateIssuing } from "../certs/rotation.ts";
import { filesIn } from "../scripts/backup/archive.ts";
import { certificates as checkCertificates } from "../scripts/doctor/certificates.ts";
import { keys as checkKeys } from "../scripts/doctor/data.ts";
import { lockData } from "../server/audit/lock.ts";
import { verifyAuditLog } from "../server/audit/verify.ts";
import { readConfig } from "../server/config.ts";
import { clientAgent, echoConfig, prepareData, root, startTestAppliance, userSays } from "./support/appliance.ts";
import { entriesOf } from "./support/entries.ts";
import { namePolicies } from "./support/policies.ts";
import { type Ran, run } from "./support/run.ts";
import { sallyport } from "./support/sallyport.ts";
import { scratchDir } from "./support/scratch.ts";

const chat = "/v1/chat/completions";

interface Keys {
  readonly file: string;
  readonly to: string;
}

async function newKeys(): Promise<Keys> {
  const file = join(scratchDir(), "backup.key");
  const { stdout } = await sallyport(["backup", "--new-key", file]);
  expect(statSync(file).mode & 0o777).to.equal(0o600);
  return { file, to: stdout.split("\n")[0] ?? "" };
}

const within = (dataDir: string, args: readonly string[]): Promise<Ran> => {
  const config = join(dataDir, "sallyport.yaml");
  return sallyport(args, { SALLYPORT_DATA: dataDir, ...(existsSync(config) ? { SALLYPORT_CONFIG: config } : {}) });
};

/** As after a theft: a new issuing CA, new certificates for clients, and the one before revoked. */
function retireIssuing(certs: string): void {
  rotateIssuing(certs, ["localhost", "127.0.0.1"]);
  renewClients(certs);
  retire(certs);
}

/** What SQLite makes and removes as it likes is no content. */
const contentsOf = (dataDir: string): string[] => filesIn(dataDir).filter((path) => !/^(?:.*\.db-|service\.lock)/u.test(path));

describe("backup and restore", () => {
  let keys: Keys;
  before(async () => {
    keys = await newKeys();
  });

  /** A data directory whose service has answered some calls and stopped, a backup from when it ran, and how far the log was then. */
  async function backedUp(): Promise<{ dataDir: string; file: string; seq: number }> {
    const dataDir = prepareData(echoConfig);
    const service = await startTestAppliance({ dataDir });
    await service.call("POST", chat, userSays("before the backup"));
    const file = join(scratchDir(), "backup.age");
    namePolicies(dataDir);
    const calls = Array.from({ length: 20 }, () => service.call("POST", chat, userSays("while it is made")));
    const made = await within(dataDir, ["backup", file, "--to", keys.to]);
    expect([made.status, made.stderr]).to.deep.equal([0, made.stderr]);
    await Promise.all(calls);
    await service.call("POST", chat, userSays("after it"));
    await service[Symbol.asyncDispose]();
    return { dataDir, file, seq: Number(/the log to entry (\d+)/u.exec(made.stdout)?.[1]) };
  }

  it("brings log, keys, certificates and configuration to another host, where the service goes on", async () => {
    const { dataDir, file, seq } = await backedUp();
    const other = join(scratchDir(), "data");
    const key = JSON.parse((await within(dataDir, ["audit", "checkpoint"])).stdout).key;
    const another = await within(other, [
      "restore",
      file,
      "--key",
      keys.file,
      "--signed-by",
      `${key.slice(0, -2)}${key.endsWith("A=") ? "E" : "A"}=`,
    ]);
    expect(another.stderr).to.match(/is signed with another key/u);
    const restored = await within(other, ["restore", file, "--key", keys.file, "--signed-by", key]);
    expect([restored.status, restored.stderr]).to.deep.equal([0, ""]);
    const kept = filesIn(dataDir).filter((path) => /^(?:keys|certs)/u.test(path));
    for (const path of kept) expect(readFileSync(join(other, path)).equals(readFileSync(join(dataDir, path))), path).to.equal(true);
    expect(readFileSync(join(other, "configuration", "sallyport.yaml"), "utf8")).to.include("echo");
    expect(readdirSync(join(other, "configuration"))).to.include.members(["main.yaml", "named.yaml"]);
    const catalogueIn = (dir: string): string => readFileSync(join(dir, "catalogue.yaml"), "utf8");
    expect(catalogueIn(join(other, "configuration")), "an operator's own models and their sums").to.equal(
      catalogueIn(readConfig({}).modelsDir),
    );
    expect(readdirSync(dataDir)).to.include("batches.db");
    expect(
      filesIn(other).filter((path) => path.startsWith("batches.db")),
      "what callers put there is in no backup",
    ).to.deep.equal([]);
    expect(verifyAuditLog(other).problems).to.deep.equal([]);
    const entries = entriesOf(other);
    const { kind, body } = entries.find((entry) => entry.kind === "restored") ?? expect.fail();
    expect([kind, body.head.seq, body.over]).to.deep.equal(["restored", seq, null]);
    for (const path of filesIn(other).filter((one) => /(?:key|db|head)/u.test(one) && !one.includes("issued")))
      expect(statSync(join(other, path)).mode & 0o077, path).to.equal(0);
    const service = await startTestAppliance({ dataDir: other });
    expect((await service.call("POST", chat, userSays("on"))).status).to.equal(200);
    await service[Symbol.asyncDispose]();
    expect(verifyAuditLog(other).problems).to.deep.equal([]);
  }).timeout(60_000);

  it("refuses to take the log back in time unless told, and records what was replaced", async () => {
    const { dataDir, file, seq } = await backedUp();
    const before = filesIn(dataDir);
    const refused = await within(dataDir, ["restore", file, "--key", keys.file]);
    expect([refused.status, refused.stderr]).to.deep.equal([1, refused.stderr]);
    expect(refused.stderr).to.match(/goes to entry (\d+), and the backup ends at entry \d+: \d+ entries would be lost.*--back-in-time/u);
    expect(filesIn(dataDir).filter((path) => !path.startsWith("audit.db-"))).to.deep.equal(
      before.filter((path) => !path.startsWith("audit.db-")),
    );
    const told = await within(dataDir, ["restore", file, "--key", keys.file, "--back-in-time"]);
    expect([told.status, told.stderr]).to.deep.equal([0, ""]);
    const { body } = entriesOf(dataDir).find((entry) => entry.kind === "restored") ?? expect.fail();
    expect(body.backInTime).to.equal(true);
    expect(body.over.seq).to.be.above(seq);
    const aside = readdirSync(dataDir).find((name) => name.startsWith("replaced-")) ?? expect.fail();
    expect(entriesOf(join(dataDir, aside))).to.have.length(body.over.seq);
    expect(before).to.include("batches.db");
    expect(
      readdirSync(join(dataDir, aside)).filter((name) => name.startsWith("batches.db")),
      "what callers put there would outlive its time",
    ).to.deep.equal([]);
    const { state, detail } = checkKeys(dataDir);
    expect([state, detail]).to.deep.equal(["warn", detail]);
    expect(detail).to.match(/replaced-\S+: log and keys from before a restore\. Delete them .*rm -r /u);
    expect(verifyAuditLog(dataDir).problems).to.deep.equal([]);
  }).timeout(60_000);

  it("never stands there without saying so: the log that is put there has recorded it already", async () => {
    const { dataDir, file } = await backedUp();
    const last = entriesOf(dataDir).length;
    const child = spawn(process.execPath, [join(root, "scripts/sallyport.ts"), "restore", file, "--key", keys.file, "--back-in-time"], {
      env: { ...process.env, SALLYPORT_DATA: dataDir },
      stdio: "ignore",
    });
    const exited = once(child, "exit");
    const isSwapped = (): boolean =>
      readdirSync(dataDir).some((name) => name.startsWith("replaced-")) &&
      ["audit.db", "audit.head", "certs", "configuration", "keys"].every((name) => existsSync(join(dataDir, name)));
    while (!isSwapped() && child.exitCode === null) await turn();
    child.kill("SIGKILL");
    await exited;
    const { body } = entriesOf(dataDir).find((entry) => entry.kind === "restored") ?? expect.fail();
    expect(body.over.seq).to.equal(last);
  }).timeout(60_000);

  it("puts back what was there when something of it can't be moved, and says what", async function () {
    if (spawnSync("unshare", ["-rm", "true"]).status !== 0) this.skip();
    const { dataDir, file } = await backedUp();
    const before = contentsOf(dataDir);
    const certs = join(dataDir, "certs");
    const mounted = 'mount --bind "$0" "$0" && exec "$@"';
    const restore = [process.execPath, join(root, "scripts/sallyport.ts"), "restore", file, "--key", keys.file, "--back-in-time"];
    const { status, stderr } = await run("unshare", ["-rm", "sh", "-c", mounted, certs, ...restore], { SALLYPORT_DATA: dataDir });
    expect([status, stderr]).to.deep.equal([
      1,
      `${certs} can't be used (rename): it is in use, or mounted. Unmount it, or end what uses it.\n`,
    ]);
    expect(contentsOf(dataDir)).to.deep.equal(before);
  }).timeout(60_000);

  it("that was killed in the middle is taken back by the next one, and no service starts meanwhile", async () => {
    const { dataDir, file } = await backedUp();
    revoke(join(dataDir, "certs"), "app", "lost");
    const last = entriesOf(dataDir).length;
    // Takes long enough to move.
    for (let number = 0; number < 20_000; number += 1) writeFileSync(join(dataDir, `b${number}`), "");
    const child = spawn(process.execPath, [join(root, "scripts/sallyport.ts"), "restore", file, "--key", keys.file, "--back-in-time"], {
      env: { ...process.env, SALLYPORT_DATA: dataDir },
      stdio: "ignore",
    });
    const exited = once(child, "exit");
    while (existsSync(join(dataDir, "audit.db")) && child.exitCode === null) await turn();
    child.kill("SIGKILL");
    await exited;
    expect(
      ["audit.db", "certs"].map((name) => existsSync(join(dataDir, name))),
      "half of it is moved",
    ).to.deep.equal([false, true]);
    for (const args of [
      ["serve", "--setup"],
      ["audit", "rotate-key"],
      ["certs", "issue", "ward"],
    ]) {
      const { status, stderr } = await within(dataDir, args);
      expect([args, status, stderr]).to.deep.equal([
        args,
        1,
        `A restore into ${dataDir} was cut off. Run it again: it puts back first what was there.\n`,
      ]);
    }
    expect((await within(dataDir, ["doctor"])).stdout).to.match(/audit log\s.*was cut off\. Run it again/u);
    const refused = await within(dataDir, ["restore", file, "--key", keys.file]);
    expect(refused.stderr).to.match(/entries would be lost/u);
    expect(entriesOf(dataDir)).to.have.length(last);
    const told = await within(dataDir, ["restore", file, "--key", keys.file, "--back-in-time"]);
    expect(told.stdout).to.include("Revoked since the backup, and still: 1 certificates.");
  }).timeout(120_000);

  it("that was killed when the backup was coming in is taken back too", async () => {
    const { dataDir, file } = await backedUp();
    rmSync(join(dataDir, "sallyport.yaml"));
    const [before, last, batches] = [contentsOf(dataDir), entriesOf(dataDir).length, readFileSync(join(dataDir, "batches.db"))];
    expect((await within(dataDir, ["restore", file, "--key", keys.file, "--back-in-time"])).stderr).to.equal("");
    // As if the power had gone before the last one was moved.
    const scratch = join(dataDir, ".restore");
    mkdirSync(join(scratch, "entering"), { recursive: true });
    renameSync(join(dataDir, "keys"), join(scratch, "entering", "keys"));
    renameSync(join(dataDir, readdirSync(dataDir).find((name) => name.startsWith("replaced-")) ?? expect.fail()), join(scratch, "aside"));
    writeFileSync(join(scratch, "aside", "batches.db"), batches);
    expect((await within(dataDir, ["restore", file, "--key", keys.file])).stderr).to.match(/entries would be lost/u);
    expect([contentsOf(dataDir), entriesOf(dataDir).length]).to.deep.equal([before, last]);
  }).timeout(60_000);

  it("ends when what was restored is on disk: each file before it is moved in, and the data directory last", async function () {
    if (spawnSync("strace", ["--version"]).status !== 0) this.skip();
    const { dataDir, file } = await backedUp();
    const [other, trace] = [join(scratchDir(), "data"), join(scratchDir(), "trace")];
    const restore = [process.execPath, join(root, "scripts/sallyport.ts"), "restore", file, "--key", keys.file, "--back-in-time"];
    for (const into of [other, dataDir]) {
      const traced = ["-f", "-y", "-s", "500", "-e", "trace=fsync,rename,renameat,renameat2", "-o", trace, ...restore];
      const { status, stderr } = await run("strace", traced, { SALLYPORT_DATA: into });
      expect([status, stderr]).to.deep.equal([0, ""]);
      const calls = readFileSync(trace, "utf8")
        .split("\n")
        .filter((line) => line.includes(into));
      const [unpacked, entering] = ["unpacked", "entering"].map((name) => join(into, ".restore", name));
      const swapped = calls.findIndex((line) => line.includes(`rename("${unpacked}", "${entering}")`));
      expect(swapped).to.be.above(0);
      const flushedIn = (lines: readonly string[]): string[] => lines.map((line) => /fsync\(\d+<([^>]+)>/u.exec(line)?.[1] ?? "");
      const before = new Set(flushedIn(calls.slice(0, swapped)));
      const restored = filesIn(into).filter((path) => /^(?:audit\.(?:db|head)$|certs|configuration|keys)/u.test(path));
      expect(restored).to.include.members(["audit.db", "audit.head", "keys/audit.key", "configuration/sallyport.yaml"]);
      const unflushed = [".", "certs", "certs/clients/app", "keys", ...restored].filter((path) => !before.has(join(unpacked ?? "", path)));
      expect(unflushed).to.deep.equal([]);
      const last = calls.findLastIndex((line) => line.includes("rename"));
      expect(flushedIn(calls.slice(last))).to.include(into);
    }
  }).timeout(120_000);

  it("lets callers' files go that one which was cut off has left aside", async () => {
    const dataDir = prepareData(echoConfig);
    const aside = join(dataDir, "replaced-2026-11-28");
    mkdirSync(aside);
    for (const name of ["batches.db", "batches.db-wal", "batches.db-shm", "batches.db-journal", "audit.db"])
      writeFileSync(join(aside, name), "");
    await (await startTestAppliance({ dataDir }))[Symbol.asyncDispose]();
    expect(readdirSync(aside)).to.deep.equal(["audit.db"]);
  });

  it("is refused while another one is at work, which goes on", async () => {
    const { dataDir, file } = await backedUp();
    const unpacked = join(dataDir, ".restore", "unpacked");
    mkdirSync(unpacked, { recursive: true });
    using _lock = lockData(dataDir);
    expect((await within(dataDir, ["restore", file, "--key", keys.file])).stderr).to.match(/Another sallyport service uses/u);
    expect(existsSync(unpacked)).to.equal(true);
  }).timeout(60_000);

  it("leaves revoked what was revoked since the backup", async () => {
    const { dataDir, file } = await backedUp();
    revoke(join(dataDir, "certs"), "app", "lost");
    const restored = await within(dataDir, ["restore", file, "--key", keys.file, "--back-in-time"]);
    expect([restored.status, restored.stderr]).to.deep.equal([0, ""]);
    expect(restored.stdout).to.include("Revoked since the backup, and still: 1 certificates.");
    await using service = await startTestAppliance({ dataDir });
    const refused = await service.call("GET", "/v1/models").catch((error: Error) => error);
    expect(refused).to.be.instanceOf(Error);
    expect((await service.call("GET", "/healthz", undefined, { as: "operator" })).status).to.equal(200);
  }).timeout(60_000);

  it("replaces an issuing CA that was retired since the backup: clients are let in with their new files, and nobody with an old one", async () => {
    const { dataDir, file } = await backedUp();
    const certs = join(dataDir, "certs");
    const old = clientAgent(certs, "app");
    retireIssuing(certs);
    const restored = await within(dataDir, ["restore", file, "--key", keys.file, "--back-in-time"]);
    expect([restored.status, restored.stderr]).to.deep.equal([0, ""]);
    expect(restored.stdout).to.match(
      /issuing CA 1, the newest in the backup, was revoked since: there is a new one, and the server and 3 clients/u,
    );
    expect(restored.stdout).to.include(`Hand clients their new files from ${join(certs, "clients")};`);
    expect(revokedAuthority(certs)).to.equal(undefined);
    await using service = await startTestAppliance({ dataDir });
    expect((await service.call("GET", "/v1/models")).status).to.equal(200);
    const refused = await request(`${service.url}/v1/models`, { dispatcher: old }).catch((error: Error) => error);
    expect(refused).to.be.instanceOf(Error);
    await old.destroy();
  }).timeout(60_000);

  it("says how to replace an issuing CA that was retired since, where the root's key is elsewhere", async () => {
    const { dataDir } = await backedUp();
    const certs = join(dataDir, "certs");
    const [key, away] = [join(certs, "roots", "1", "key.pem"), join(scratchDir(), "key.pem")];
    renameSync(key, away);
    const file = join(scratchDir(), "backup.age");
    expect(await within(dataDir, ["backup", file, "--to", keys.to])).to.include({ status: 0 });
    renameSync(away, key);
    retireIssuing(certs);
    renameSync(key, away);
    const restored = await within(dataDir, ["restore", file, "--key", keys.file]);
    expect([restored.status, restored.stderr]).to.deep.equal([0, ""]);
    expect(restored.stdout).to.include(
      `was revoked since. With the root's key in ${dirname(key)}, run \`npx sallyport certs rotate --issuing\``,
    );
    const state = async (): Promise<string | undefined> => (await checkCertificates(certs, ["localhost"]))[0]?.state;
    expect(await state()).to.equal("fail");
    renameSync(away, key);
    for (const args of [["rotate", "--issuing"], ["renew"]]) expect(await within(dataDir, ["certs", ...args])).to.include({ status: 0 });
    expect(await state()).to.equal("warn");
    await using service = await startTestAppliance({ dataDir });
    expect((await service.call("GET", "/v1/models")).status).to.equal(200);
  }).timeout(60_000);

  it("leaves out the next key of a rotation that is at work", async () => {
    const { dataDir } = await backedUp();
    writeFileSync(join(dataDir, "keys", "audit.key.proven"), `${"ab".repeat(32)}\n`, { mode: 0o600 });
    const file = join(scratchDir(), "backup.age");
    const made = await within(dataDir, ["backup", file, "--to", keys.to]);
    expect([made.status, made.stderr]).to.deep.equal([0, made.stderr]);
    const other = join(scratchDir(), "data");
    expect((await within(other, ["restore", file, "--key", keys.file])).stderr).to.equal("");
    expect(verifyAuditLog(other).problems).to.deep.equal([]);
  }).timeout(60_000);

  it("holds what links in the data directory lead to, and is restored where that is not", async () => {
    const { dataDir } = await backedUp();
    const elsewhere = scratchDir();
    for (const name of ["keys", "sallyport.yaml", "main.yaml", join("certs", "crl.pem")]) {
      const target = join(elsewhere, basename(name));
      renameSync(join(dataDir, name), target);
      symlinkSync(target, join(dataDir, name));
    }
    const file = join(scratchDir(), "backup.age");
    const made = await within(dataDir, ["backup", file, "--to", keys.to]);
    expect([made.status, made.stderr]).to.deep.equal([0, made.stderr]);
    const config = readFileSync(join(dataDir, "sallyport.yaml"), "utf8");
    rmSync(elsewhere, { recursive: true });
    const other = join(scratchDir(), "data");
    expect((await within(other, ["restore", file, "--key", keys.file])).stderr).to.equal("");
    for (const path of ["sallyport.yaml", join("configuration", "sallyport.yaml")])
      expect(readFileSync(join(other, path), "utf8"), path).to.equal(config);
    expect(filesIn(other)).to.include.members(["keys/audit.key", "certs/crl.pem", "configuration/main.yaml"]);
    expect(verifyAuditLog(other).problems).to.deep.equal([]);
  }).timeout(60_000);

  it("goes nowhere inside the data directory, where the next one would hold it", async () => {
    const { dataDir } = await backedUp();
    const link = join(scratchDir(), "link");
    mkdirSync(join(dataDir, "nightly"));
    symlinkSync(dataDir, link);
    for (const dir of [dataDir, join(dataDir, "nightly"), link]) {
      const file = join(dir, "backup.age");
      const { status, stderr } = await within(dataDir, ["backup", file, "--to", keys.to]);
      expect([status, stderr, existsSync(file)]).to.deep.equal([1, stderr, false]);
      expect(stderr).to.match(/is inside the data directory, so that the next backup would hold this one\. Name a file elsewhere\.\n$/u);
    }
    const beside = `${dataDir}-backup.age`;
    expect(await within(dataDir, ["backup", beside, "--to", keys.to])).to.include({ status: 0 });
    rmSync(beside);
  }).timeout(60_000);

  it("leaves lost+found where it is", async () => {
    const { dataDir } = await backedUp();
    const own = [join(dataDir, "lost+found"), join(dataDir, "certs", "lost+found")] as const;
    for (const dir of own) mkdirSync(dir, { mode: 0o700 });
    writeFileSync(join(own[0], "of-root"), "");
    const file = join(scratchDir(), "backup.age");
    expect(await within(dataDir, ["backup", file, "--to", keys.to])).to.include({ status: 0 });
    const { status, stderr } = await within(dataDir, ["restore", file, "--key", keys.file, "--back-in-time"]);
    expect([status, stderr]).to.deep.equal([0, ""]);
    expect(readdirSync(own[0])).to.deep.equal(["of-root"]);
    expect(existsSync(own[1])).to.equal(false);
  }).timeout(60_000);

  /** What `restore` says of a backup in which somebody has changed something. */
  async function restoredChanged(file: string, change: (dir: string) => void): Promise<string> {
    const dir = scratchDir();
    const opening = new Decrypter();
    opening.addIdentity(readFileSync(keys.file, "utf8").trim());
    execFileSync("tar", ["--extract", "--directory", dir], { input: await opening.decrypt(readFileSync(file)) });
    change(dir);
    const sealing = new Encrypter();
    sealing.addRecipient(keys.to);
    const changed = join(scratchDir(), "changed.age");
    writeFileSync(changed, await sealing.encrypt(execFileSync("tar", ["--create", "--directory", dir, "."], { maxBuffer: 1 << 30 })));
    const { status, stderr } = await within(join(scratchDir(), "data"), ["restore", changed, "--key", keys.file]);
    expect([status, stderr]).to.deep.equal([1, stderr]);
    return stderr;
  }

  it("is refused with a link in it, also one that leads somewhere on this host", async () => {
    const { file } = await backedUp();
    const said = await restoredChanged(file, (dir) => {
      const target = join(scratchDir(), "audit.key");
      renameSync(join(dir, "keys", "audit.key"), target);
      symlinkSync(target, join(dir, "keys", "audit.key"));
    });
    expect(said).to.match(/keys\/audit\.key is neither a file nor a directory/u);
  }).timeout(60_000);

  it("is refused when its manifest was altered, also where what that names as its key is none", async () => {
    const { file } = await backedUp();
    for (const [from, to] of [
      [/"made": "\d/u, '"made": "9'],
      [/"key": "[^"]+"/u, '"key": "AAAA"'],
    ] as const) {
      const said = await restoredChanged(file, (dir) => {
        const manifest = join(dir, "MANIFEST.json");
        writeFileSync(manifest, readFileSync(manifest, "utf8").replace(from, to));
      });
      expect(said).to.match(/^The manifest in \S+ was altered\. Take another backup\.\n$/u);
    }
  }).timeout(60_000);

  it("refuses a log that can't be read, one of another installation, and a running service", async () => {
    const { dataDir, file } = await backedUp();
    writeFileSync(join(dataDir, "audit.db"), "damaged");
    expect((await within(dataDir, ["restore", file, "--key", keys.file])).stderr).to.match(/can't be read, so entries may be lost/u);
    const other = prepareData();
    const service = await startTestAppliance({ dataDir: other });
    expect((await within(other, ["restore", file, "--key", keys.file])).stderr).to.match(/Another sallyport service uses/u);
    await service[Symbol.asyncDispose]();
    expect((await within(other, ["restore", file, "--key", keys.file])).stderr).to.match(/The backup is not of the log in/u);
  }).timeout(60_000);

  it("opens with its own key only, and not when one byte is changed or its end is cut off; nothing is written then", async () => {
    const { file } = await backedUp();
    const target = join(scratchDir(), "data");
    mkdirSync(target);
    const other = await newKeys();
    expect((await within(target, ["restore", file, "--key", other.file])).stderr).to.match(/is no backup for this key/u);
    const bytes = readFileSync(file);
    const damaged = (change: (copy: Buffer) => Buffer): string => {
      const path = join(scratchDir(), "damaged.age");
      writeFileSync(path, change(Buffer.from(bytes)));
      return path;
    };
    const flipped = (at: number) => (copy: Buffer) => {
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    };
    for (const change of [
      flipped(bytes.length >> 1),
      flipped(bytes.length - 5),
      (copy: Buffer) => copy.subarray(0, -70_000),
      (copy: Buffer) => copy.subarray(0, -1),
    ]) {
      const { status, stderr } = await within(target, ["restore", damaged(change), "--key", keys.file]);
      expect([status, stderr]).to.deep.equal([1, stderr]);
      expect(stderr).to.match(/is damaged/u);
    }
    expect(readdirSync(target).filter((name) => name !== "service.lock")).to.deep.equal([]);
  }).timeout(60_000);

  it("refuses to back up a log whose end was cut off", async () => {
    const { dataDir } = await backedUp();
    const { openAuditDatabase } = await import("../server/audit/database.ts");
    const { readAuditKeys } = await import("../server/audit/keys.ts");
    const database = openAuditDatabase(join(dataDir, "audit.db"), readAuditKeys(dataDir).database);
    database.exec("DELETE FROM entries WHERE seq > 5");
    database.close();
    const file = join(scratchDir(), "backup.age");
    const { status, stderr } = await within(dataDir, ["backup", file, "--to", keys.to]);
    expect([status, existsSync(file)]).to.deep.equal([1, false]);
    expect(stderr).to.match(/does not hold entry \d+ as audit\.head has it/u);
    expect(readdirSync(dataDir).filter((name) => name.startsWith("."))).to.deep.equal([]);
  }).timeout(60_000);

  it("is age with tar inside, which other programs open", async function () {
    if (spawnSync("age", ["--version"]).status !== 0) this.skip();
    const { file } = await backedUp();
    const listed = execFileSync("bash", ["-c", 'age --decrypt -i "$1" "$2" | tar t', "bash", keys.file, file], { encoding: "utf8" });
    expect(listed).to.include("./audit.db").and.to.include("./keys/audit.key").and.to.include("./MANIFEST.json");
    rmSync(file);
  }).timeout(60_000);
});
