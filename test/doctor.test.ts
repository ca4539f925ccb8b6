import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { newest } from "../certs/authorities.ts";
import { issueClient, revoke } from "../certs/authority.ts";
import { factsText, sumsText } from "../scripts/bundle/members.ts";
import { type Check, examined } from "../scripts/doctor/check.ts";
import { auditLog, batches, keys } from "../scripts/doctor/data.ts";
import { files } from "../scripts/doctor/files.ts";
import { sentenceOf } from "../scripts/failure.ts";
import { AuditLog } from "../server/audit/audit-log.ts";
import { openAuditDatabase } from "../server/audit/database.ts";

import { createAuditSecret, readAuditKeys } from "../server/audit/keys.ts";
import { verifyAuditLog } from "../server/audit/verify.ts";
import { echoConfig, prepareData, root, startTestAppliance } from "./support/appliance.ts";

import { startOwnCa } from "./support/own-ca.ts";
import { run } from "./support/run.ts";
import { sallyport } from "./support/sallyport.ts";
import { scratchDir } from "./support/scratch.ts";

interface Found {
  readonly status: number;
  readonly checks: readonly Check[];
  /** Details of the checks of this name and state. */
  of(name: string, state: Check["state"]): string[];
}

async function doctor(dataDir: string, config = echoConfig, env: Record<string, string> = {}): Promise<Found> {
  const file = join(scratchDir(), "sallyport.yaml");
  writeFileSync(file, config);
  const { status, stdout, stderr } = await sallyport(["doctor", "--json"], { SALLYPORT_CONFIG: file, SALLYPORT_DATA: dataDir, ...env });
  expect(stderr.replaceAll(/^Checking.*\n/gmu, "")).to.equal("");
  const { fit, checks } = JSON.parse(stdout) as { fit: boolean; checks: Check[] };
  expect(fit).to.equal(status === 0);
  const of = (name: string, state: string) => checks.filter((one) => one.name === name && one.state === state).map(({ detail }) => detail);
  return { status, checks, of };
}

/** Without SQLite's own side files, which reading a log may leave empty. */
const filesIn = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, encoding: "utf8" })
    .filter((file) => !/^(?:audit|batches)\.db-(?:shm|wal)$/u.test(file))
    .toSorted();

describe("sallyport doctor", () => {
  it("finds a whole installation fit, and changes nothing", async () => {
    const dataDir = prepareData();
    await (await startTestAppliance({ dataDir }))[Symbol.asyncDispose]();
    const before = filesIn(dataDir);
    const { status, checks } = await doctor(dataDir);
    expect(checks.filter((one) => one.state === "fail")).to.deep.equal([]);
    expect(status).to.equal(0);
    expect(filesIn(dataDir)).to.deep.equal(before);
    const names = [
      "runtime",
      "cpu",
      "gpu",
      "ulimits",
      "cgroup",
      "egress",
      "files",
      "configuration",
      "policy",
      "model",
      "classifiers",
      "memory",
      "disk",
      "clock",
      "file modes",
      "certificates",
      "certificate",
      "keys",
      "audit log",
      "batches",
    ];
    expect([...new Set(checks.map((one) => one.name))]).to.have.members(names);
  });

  it("makes nothing where nothing is yet, and fails", async () => {
    const dataDir = join(scratchDir(), "none");
    expect(await doctor(dataDir)).to.include({ status: 1 });
    expect(() => readdirSync(dataDir)).to.throw(/ENOENT/u);
  });

  it("misses a log that is gone while its head is there", async () => {
    const dataDir = prepareData();
    await (await startTestAppliance({ dataDir }))[Symbol.asyncDispose]();
    for (const file of readdirSync(dataDir).filter((name) => name.startsWith("audit.db"))) rmSync(join(dataDir, file));
    const { status, of } = await doctor(dataDir);
    expect(status).to.equal(1);
    expect(of("audit log", "fail")[0]).to.match(/audit\.db is gone, and .*audit\.head says that there was one/u);
  });

  it("says that this user may not look, and never that there is nothing", async () => {
    const dataDir = prepareData();
    AuditLog.open(dataDir, {}).close();
    const asOther = (look: () => unknown): string => {
      const root = process.getuid?.() === 0;
      root ? process.seteuid?.("nobody") : chmodSync(dataDir, 0o000);
      try {
        look();
        return "nothing wrong";
      } catch (error) {
        return String(sentenceOf(error));
      } finally {
        root ? process.seteuid?.(0) : chmodSync(dataDir, 0o700);
      }
    };
    for (const look of [auditLog, batches, keys, verifyAuditLog, readAuditKeys, createAuditSecret])
      expect(
        asOther(() => look(dataDir)),
        look.name,
      ).to.match(/this user has no right to it/u);
  });

  it("names a catalogue that is missing or broken, and goes on", async () => {
    const config = "models: [{ id: m }]\n";
    const modelsDir = scratchDir();
    writeFileSync(join(modelsDir, "catalogue.yaml"), "models: *nowhere\n");
    const [missing, broken] = await Promise.all([
      doctor(prepareData(), config, { SALLYPORT_MODELS: scratchDir() }),
      doctor(prepareData(), config, { SALLYPORT_MODELS: modelsDir }),
    ]);
    expect(missing.of("model", "fail")[0]).to.match(/catalogue\.yaml is missing/u);
    expect(broken.of("model", "fail")[0]).to.match(/catalogue\.yaml is not valid YAML/u);
    expect(broken.of("audit log", "ok")).to.deep.equal(["none yet"]);
  });

  it("says how a model that has no source is put right, and what context it gets", async () => {
    const modelsDir = scratchDir();
    const entry = `id: m, file: m.gguf, bytes: 1, sha256: "${"0".repeat(64)}", licence: MIT, context_tokens: 8`;
    writeFileSync(join(modelsDir, "catalogue.yaml"), `models: [{ ${entry} }]\n`);
    const [absent, trained] = await Promise.all([
      doctor(prepareData(), "models: [{ id: m }]\n", { SALLYPORT_MODELS: modelsDir }),
      doctor(prepareData(), "models: [{ id: smollm2-135m-instruct }]\nengine: { context_tokens: 10000 }\n"),
    ]);
    expect(absent.of("model", "fail")[0]).to.match(/m\.gguf is missing\. Copy the right file there\.$/u);
    expect(trained.of("model", "warn")[0]).to.match(/engine\.context_tokens is 10000, and the model was trained for 8192/u);
  });

  it("says whether the configured models fit into memory, all or in turns, and refuses what the start would", async () => {
    const memory = async (bytesMax: string): Promise<Check | undefined> => {
      const engine = `engine: { parallel: 1, context_tokens: 256, memory_bytes_max: ${bytesMax} }`;
      const { checks } = await doctor(prepareData(), `models: [{ id: smollm2-135m-instruct }]\n${engine}\n`);
      return checks.find(({ name }) => name === "memory");
    };
    const [little, enough, tooMuch] = await Promise.all(["100000000", "400000000", "1000000000000000"].map(memory));
    expect(little).to.include({ state: "fail" });
    expect(little?.detail).to.match(/engine\.memory_bytes_max is 0\.1 GiB, about 0\.2 GiB wanted .*lower engine\.parallel/u);
    expect(enough).to.include({ state: "ok" });
    expect(tooMuch).to.include({ state: "warn" });
  });

  it("names the file in the register of certificates that is none", async () => {
    const dataDir = prepareData();
    writeFileSync(join(dataDir, "certs", "issued", "junk.pem"), "junk");
    const { status, of } = await doctor(dataDir);
    expect(status).to.equal(1);
    expect(of("certificate", "fail").join()).to.match(/issued\/junk\.pem is no certificate/u);
  });

  it("looks at the certificates of clients: their keys, who may read them, and revocation, the newest one only", async () => {
    const dataDir = prepareData();
    const certs = join(dataDir, "certs");
    const client = (...path: string[]): string => join(certs, "clients", ...path);
    issueClient(certs, "app", "app");
    issueClient(certs, "leaver", "app");
    revoke(certs, "leaver");
    copyFileSync(client("app", "key.pem"), client("operator", "key.pem"));
    chmodSync(client("auditor", "key.pem"), 0o644);
    const { status, of } = await doctor(dataDir);
    expect(status).to.equal(1);
    expect(of("certificate", "ok").filter((detail) => detail.startsWith("client "))).to.have.length(1);
    expect(of("certificate", "warn")).to.have.length(1);
    expect(of("certificate", "warn")[0]).to.match(/^client leaver \(app\), until [\d-]+; revoked: npx sallyport certs issue leaver$/u);
    const [auditor, operator] = of("certificate", "fail");
    expect(operator).to.match(/do not belong together\. Issue it again: npx sallyport certs issue operator$/u);
    expect(auditor).to.match(/auditor\/key\.pem can be read by other users: chmod 600 /u);
  });

  it("fails when the CA that issues is itself revoked, and says what became of its clients", async () => {
    const dataDir = prepareData();
    const certs = join(dataDir, "certs");
    revoke(certs, newest(certs, "issuing").certificate.serialNumber);
    const { status, of } = await doctor(dataDir);
    expect(status).to.equal(1);
    expect(of("certificates", "fail")[0]).to.match(
      /^issuing\/1 is revoked, .*: npx sallyport certs rotate --issuing, then npx sallyport certs renew/u,
    );
    expect(of("certificate", "warn").filter((detail) => /^client .*; retired: /u.test(detail))).to.have.length(3);
  });

  it("warns when the CA's key is kept elsewhere, and when the server's names are not those of the configuration", async () => {
    const dataDir = prepareData();
    rmSync(join(dataDir, "certs", "issuing", "1", "key.pem"));
    const { status, of } = await doctor(dataDir, `${echoConfig}tls: { names: [localhost, 127.0.0.1, "::1", models.bank.example] }\n`);
    expect(status).to.equal(0);
    expect(of("certificates", "warn")[0]).to.match(/issuing\/1\/key\.pem is not here: fine when it is kept elsewhere/u);
    expect(of("certificate", "warn")[0]).to.match(/differ in models\.bank\.example: npx sallyport certs rotate/u);
  });

  it("warns before what another CA made runs out, and fails when it has", async () => {
    const state = async (days: number, life: number): Promise<string[]> => {
      const dataDir = prepareData();
      const trusted = join(dataDir, "certs", "trust", "bank.pem");
      mkdirSync(dirname(trusted));
      writeFileSync(trusted, startOwnCa("/O=Bank/CN=Bank root", [], { days, life }).pem);
      return (await doctor(dataDir)).checks.filter((one) => one.name === "certificates").flatMap((one) => [one.state, one.detail]);
    };
    const [[fine], [warned, ends], [failed, over]] = await Promise.all([state(0, 30), state(25, 30), state(31, 30)]);
    expect(fine).to.equal("ok");
    expect([warned, ends]).to.deep.equal(["warn", ends]);
    expect(ends).to.match(/^the revocation list of O=Bank, CN=Bank root runs out on [\d-]+: fetch a newer one/u);
    expect([failed, over]).to.deep.equal(["fail", over]);
    expect(over).to.match(/^the revocation list of O=Bank, CN=Bank root ran out on [\d-]+, and nobody of that CA is let in/u);
  });

  it("refuses a policy that another names and that is wrong or missing, as the start does", async () => {
    const policy = async (named?: string): Promise<string[]> => {
      const dataDir = prepareData();
      writeFileSync(join(dataDir, "main.yaml"), "identities: [{ names: [app], policy: ward.yaml }]\n");
      if (named !== undefined) writeFileSync(join(dataDir, "ward.yaml"), named);
      return (await doctor(dataDir, `${echoConfig}policy: ${join(dataDir, "main.yaml")}\n`)).of("policy", "fail");
    };
    const [missing, wrong, right] = await Promise.all([policy(), policy("input: { delicate: { action: blok } }\n"), policy("")]);
    expect(missing[0]).to.match(/names the policy ward\.yaml, and there is no /u);
    expect(wrong[0]).to.match(/ward\.yaml is not valid/u);
    expect(right).to.deep.equal([]);
  });

  it("says what to do about limits, a clock that went back, and a data directory that others may change", async () => {
    const dataDir = prepareData();
    const limited = await run(
      "bash",
      ["-c", 'ulimit -n 300; ulimit -c 0; exec "$@"', "bash", process.execPath, join(root, "scripts/sallyport.ts"), "doctor", "--json"],
      { SALLYPORT_DATA: dataDir },
    );
    const ulimits = (JSON.parse(limited.stdout) as { checks: Check[] }).checks.find((one) => one.name === "ulimits");
    expect(ulimits?.state).to.equal("warn");
    expect(ulimits?.detail).to.match(/open files 300, .*core dumps 0: raise open files \(ulimit -n, LimitNOFILE=\) to 4096 or more$/u);
    const log = AuditLog.open(dataDir, {});
    log.close();
    const database = openAuditDatabase(join(dataDir, "audit.db"), readAuditKeys(dataDir).database);
    database.exec("UPDATE entries SET at = '2999-01-01T00:00:00.000Z' WHERE seq = 2");
    database.close();
    chmodSync(join(dataDir, "keys"), 0o777);
    const { of } = await doctor(dataDir);
    expect(of("clock", "fail")[0]).to.match(/is before the last entry of the audit log \(2999.*set the clock/u);
    expect(of("file modes", "fail")[0]).to.match(/keys can be changed by other users: chmod go-w /u);
  });

  it("names the files of an installation that are not as the bundle brought them", async () => {
    const dir = scratchDir();
    const sums = new Map(
      ["a.ts", "b.ts", "empty", "gone"].map((name) => [name, createHash("sha256").update(name.replace("empty", "")).digest("hex")]),
    );
    writeFileSync(join(dir, "BUNDLE"), factsText({ version: "1.2.3", commit: "c0ffee", target: "linux-x64", dataFormat: 1 }));
    writeFileSync(join(dir, "FILES"), sumsText(sums));
    for (const name of sums.keys()) writeFileSync(join(dir, name), name.replace("empty", ""));
    expect(await files(dir)).to.include({ state: "ok", detail: "4 files, SHA-256 as in the bundle of 1.2.3, commit c0ffee" });
    writeFileSync(join(dir, "b.ts"), "b.tt");
    rmSync(join(dir, "gone"));
    const [check] = await examined("files", () => files(dir));
    expect(check).to.include({ name: "files", state: "fail" });
    expect(check?.detail).to.match(/^2 of 4 files are not as the bundle brought them \(b\.ts, gone\): install the bundle again$/u);
  });

  it("reports a configuration that is a directory", async () => {
    const { status, of } = await doctor(prepareData(), echoConfig, { SALLYPORT_CONFIG: scratchDir() });
    expect([status, of("configuration", "fail")[0]]).to.deep.equal([1, of("configuration", "fail")[0]]);
    expect(of("configuration", "fail")[0]).to.match(/is a directory\. Name a file\./u);
  });
});

describe("the way out of a host", () => {
  /** What `doctor` says of it, under a program that changes what the host has. */
  const egressUnder = async (...command: string[]): Promise<Check> => {
    const [program = "", ...args] = [...command, process.execPath, join(root, "scripts/sallyport.ts"), "doctor", "--json"];
    const { stdout } = await run(program, args, { SALLYPORT_DATA: scratchDir() });
    return (JSON.parse(stdout) as { checks: Check[] }).checks.find((one) => one.name === "egress") as Check;
  };

  it("is closed in a network of its own, and open once that has a default route", async function () {
    if (spawnSync("unshare", ["-rn", "true"]).status !== 0) this.skip();
    expect(await egressUnder("unshare", "-rn")).to.deep.include({ state: "ok", detail: "closed: this host has no way out" });
    const routed = 'ip link set lo up && ip addr add 127.0.0.9/8 dev lo && ip route add default dev lo && exec "$@"';
    if (spawnSync("ip", ["-V"]).status !== 0) this.skip();
    expect(await egressUnder("unshare", "-rn", "sh", "-c", routed, "sh")).to.include({ state: "warn" });
  });
});
