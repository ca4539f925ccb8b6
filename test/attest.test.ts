import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { rotateRoot } from "../certs/rotation.ts";
import { readReport, writeReport } from "../scripts/attest/report.ts";
import { readAuditKeys } from "../server/audit/keys.ts";
import { echoConfig, prepareData, root, startTestAppliance } from "./support/appliance.ts";
import { entriesOf } from "./support/entries.ts";
import { namePolicies } from "./support/policies.ts";
import { sallyport } from "./support/sallyport.ts";
import { scratchDir } from "./support/scratch.ts";

describe("sallyport attest", () => {
  const out = join(scratchDir(), "report.html");
  const modelsDir = scratchDir();
  let dataDir: string;
  before(async function () {
    this.timeout(120_000);
    dataDir = prepareData(echoConfig);
    await (await startTestAppliance({ dataDir }))[Symbol.asyncDispose]();
    rmSync(join(dataDir, "certs", "clients", "app", "cert.pem"));
    rotateRoot(join(dataDir, "certs"), ["localhost"]);
    rmSync(join(dataDir, "certs", "roots", "1"), { recursive: true }); // as if `retire` was cut off
    namePolicies(dataDir);
    copyFileSync(join(root, "models", "catalogue.yaml"), join(modelsDir, "catalogue.yaml"));
    const elsewhere = scratchDir();
    writeFileSync(join(elsewhere, "model"), "a model");
    for (const [name, target] of Object.entries({ file: join(elsewhere, "model"), directory: elsewhere, broken: join(elsewhere, "gone") }))
      symlinkSync(target, join(modelsDir, `${name}.gguf`));
    const { status, stdout, stderr } = await sallyport(["attest", "--out", out], {
      SALLYPORT_DATA: dataDir,
      SALLYPORT_CONFIG: join(dataDir, "sallyport.yaml"),
      SALLYPORT_MODELS: modelsDir,
    });
    expect([status, stderr.includes("Error")], stdout + stderr).to.deep.equal([1, false]);
    expect(stdout).to.match(/^fail {2}certificate {2}.*app\/cert\.pem is missing/u);
  });

  it("says what failed first, and holds sums, TLS, what the service found of egress, self-tests, the head of the log and the state of FIPS", () => {
    const { facts } = readReport(readFileSync(out, "utf8"));
    const order = facts.checks.map(({ state }) => ["fail", "warn", "ok"].indexOf(state));
    expect(order).to.deep.equal(order.toSorted());
    expect(facts.checks[0]).to.include({ state: "fail", name: "certificate" });
    const names = facts.checks.map(({ name }) => name);
    expect(names).to.include.members(["egress", "classifiers", "cpu", "clock", "audit log"]);
    expect(facts.files["server/appliance.ts"]).to.equal(
      createHash("sha256")
        .update(readFileSync(join(root, "server/appliance.ts")))
        .digest("hex"),
    );
    expect(Object.keys(facts.files)).to.include.members(["models/catalogue.yaml", "classifiers/injection/model.onnx", "package-lock.json"]);
    expect(Object.keys(facts.files)).to.include.members(["main.yaml", "named.yaml"].map((name) => join(dataDir, name)));
    expect(Object.keys(facts.packages).some((name) => name.startsWith("express@"))).to.equal(true);
    const canEnable = (args: string[]): boolean => spawnSync(process.execPath, [...args, "-e", ""]).status === 0;
    expect(facts.openssl).to.include({ version: process.versions.openssl, fips: false, fipsProvider: canEnable(["--force-fips"]) });
    expect(facts.openssl.sentence).to.match(canEnable(["--force-fips"]) ? /though there is one/u : /there is none here/u);
    const [started] = entriesOf(dataDir);
    expect(facts.egress).to.deep.include(started?.body.egress);
    expect(facts.egress).to.have.property("at").which.is.a("string");
    expect(facts.audit).to.include({ format: "sallyport checkpoint 1", seq: 2 });
    expect(facts.tls).to.include({ versionMin: "TLSv1.3", clientCertificate: "required" });
    const { cipherSuites, roots } = facts.tls as { cipherSuites: string[]; roots: { subject: string }[] };
    expect(cipherSuites).to.include("tls_aes_256_gcm_sha384");
    expect(
      roots.map(({ subject }) => subject),
      "what is trusted",
    ).to.deep.equal(["CN=Sallyport root 2", "CN=Sallyport root 1"]);
  });

  it("leaves out no link: with the sum of the file that it leads to, or with words where that is none", () => {
    const { files } = readReport(readFileSync(out, "utf8")).facts;
    const linked = ["file", "directory", "broken"].map((name) => files[join(modelsDir, `${name}.gguf`)]);
    expect(linked).to.deep.equal([
      createHash("sha256").update("a model").digest("hex"),
      "a link to a directory: what is in it was not read",
      "a broken link",
    ]);
  });

  it("is refused when a byte of the facts, of the page or of the signature is changed", async () => {
    const html = readFileSync(out, "utf8");
    expect(await sallyport(["attest", "--verify", out])).to.include({ status: 0, stderr: "" });
    const changed = (from: string | RegExp, to: string): string => {
      const file = join(scratchDir(), "report.html");
      const text = html.replace(from, to);
      expect(text).to.not.equal(html);
      writeFileSync(file, text);
      return file;
    };
    for (const [file, why] of [
      [changed('"state":"fail"', '"state":"okay"'), /signature does not fit/u],
      [changed("<td>fail</td>", "<td>ok</td>"), /shows something else than was signed/u],
      [changed("</h1>", "</h1><p>All is well.</p>"), /shows something else/u],
      [changed(/data-key="[^"]+"/u, 'data-key="AAAA"'), /signature does not fit/u],
      [changed(/data-signature="./u, 'data-signature="!'), /no attestation/u],
      [changed(/<\/script>\n$/u, ""), /no attestation of Sallyport, or its end is cut off/u],
    ] as const) {
      const { status, stderr } = await sallyport(["attest", "--verify", file]);
      expect([status, stderr]).to.deep.equal([1, stderr]);
      expect(stderr).to.match(why);
    }
  });

  it("of another version is not called altered where its signature fits: only that version can compare the page", async () => {
    const { facts } = readReport(readFileSync(out, "utf8"));
    const { signing } = readAuditKeys(dataDir);
    const check = async (version: string, from: string, to: string): Promise<[number, string]> => {
      const file = join(scratchDir(), "other.html");
      const text = writeReport({ ...facts, version }, signing).replace(from, to);
      writeFileSync(file, text);
      const { status, stderr } = await sallyport(["attest", "--verify", file]);
      return [status, stderr];
    };
    const other: readonly [string, string] = ["<h2>Checks</h2>", "<h2>What was checked</h2>"];
    expect(await check("0.0.1", ...other)).to.deep.equal([
      1,
      `What was signed fits its signature, but whether the page shows it can be checked only with Sallyport 0.0.1, which made it; this is ${facts.version}.\n`,
    ]);
    expect((await check(facts.version, ...other))[1]).to.match(/was altered: the page shows something else/u);
    expect((await check("0.0.1", '"version":"0.0.1"', '"version":"0.0.2"'))[1]).to.match(/signature does not fit/u);
  });

  it("is refused when another key signed it than the one that was kept", async () => {
    const { facts, key } = readReport(readFileSync(out, "utf8"));
    expect(await sallyport(["attest", "--verify", out, "--key", key])).to.include({ status: 0 });
    const forged = join(scratchDir(), "forged.html");
    writeFileSync(forged, writeReport({ ...facts, checks: [] }, readAuditKeys(prepareData()).signing));
    expect(await sallyport(["attest", "--verify", forged])).to.include({ status: 0 });
    const { status, stderr } = await sallyport(["attest", "--verify", forged, "--key", key]);
    expect([status, stderr]).to.deep.equal([1, stderr]);
    expect(stderr).to.match(/signed with another key/u);
  });
});
