import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readFileSync, readSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { cleanClone, createBundle, type Made, releaseEnv, wholeBundle } from "./support/bundle.ts";
import { run } from "./support/run.ts";
import { sallyport } from "./support/sallyport.ts";
import { scratchDir } from "./support/scratch.ts";

const member = (bundle: string, path: string): string =>
  execFileSync("tar", ["-xOf", bundle, path], { encoding: "utf8", maxBuffer: 1 << 26 });

/** Does `work` while one byte of a file is another one. */
async function withByteChanged(file: string, at: number, work: () => Promise<void>): Promise<void> {
  const descriptor = openSync(file, "r+");
  const byte = Buffer.alloc(1);
  readSync(descriptor, byte, 0, 1, at);
  writeSync(descriptor, Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, at);
  await work().finally(() => {
    writeSync(descriptor, byte, 0, 1, at);
    closeSync(descriptor);
  });
}

describe("sallyport bundle", function () {
  this.timeout(180_000);
  let bundle: Made;
  let listed: string[];
  before(async () => {
    bundle = await wholeBundle();
    listed = execFileSync("tar", ["-tf", bundle.file], { encoding: "utf8", maxBuffer: 1 << 26 })
      .trim()
      .split("\n");
  });

  it("makes the same bytes of two clean clones of one commit", async () => {
    const again = await createBundle(cleanClone());
    rmSync(again.file);
    expect({ ...again, file: bundle.file }).to.deep.equal(bundle);
    expect(bundle.commit).to.match(/^[0-9a-f]{40}$/u);
  });

  it("carries what runs on this platform: the service, its packages, a runtime, classifiers and the model; nothing of development, no key", () => {
    const platform = `linux-${process.arch}`;
    expect(listed).to.include.members([
      "install.sh",
      "BUNDLE",
      "FILES",
      "sbom.cdx.json",
      "server/appliance.ts",
      "docs/install.md",
      "classifiers/injection/model.onnx",
      "classifiers/embedding/model.onnx",
      "models/SmolLM2-135M-Instruct.Q4_1.gguf",
      `node_modules/node-${platform}/bin/node`,
      `node_modules/better-sqlite3/prebuilds/${platform}.node`,
      `node_modules/@node-llama-cpp/${platform}/bins/${platform}/llama-addon.node`,
      "scripts/deploy/systemd/sallyport.service",
    ]);
    const development = /node_modules\/(?:typescript|mocha|@biomejs|openai|@types)\/|^test\/|\.pem$|\.key$/u;
    const foreign = /(?:darwin|mac-|win-|win32|musl|cuda|vulkan).*\.(?:node|so|dylib|dll)$/u;
    expect(listed.filter((path) => development.test(path) || foreign.test(path))).to.deep.equal([]);
    expect(bundle.bytes).to.be.below(480e6);
  });

  it("lists every file with its SHA-256, the model's as the catalogue has it", () => {
    const files = member(bundle.file, "FILES").trim().split("\n");
    const carried = listed.filter((path) => !path.endsWith("/") && path !== "FILES");
    expect(files.map((line) => line.slice(66))).to.have.members(carried);
    for (const path of ["BUNDLE", "sbom.cdx.json", "server/appliance.ts"]) {
      const sum = createHash("sha256").update(member(bundle.file, path)).digest("hex");
      expect(files).to.include(`${sum}  ${path}`);
    }
    expect(files).to.include("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53  models/SmolLM2-135M-Instruct.Q4_1.gguf");
  });

  it("carries whatever its documents link to", () => {
    for (const file of listed.filter((path) => path.endsWith(".md") && !path.startsWith("node_modules/"))) {
      const links = [...member(bundle.file, file).matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/gu)];
      for (const [, link = ""] of links) expect(listed, `${file} links to ${link}`).to.include(join(dirname(file), link));
    }
  });

  it("has a bill of materials: packages, native libraries, models, classifiers and data, each with its licence", () => {
    const sbom = JSON.parse(member(bundle.file, "sbom.cdx.json"));
    expect([sbom.bomFormat, sbom.specVersion]).to.deep.equal(["CycloneDX", "1.6"]);
    const named = new Map(sbom.components.map((one: { name: string }) => [one.name, one]));
    for (const name of [
      "express",
      "better-sqlite3-multiple-ciphers",
      "OpenSSL",
      "zlib",
      "llama.cpp",
      "SQLite",
      "ONNX Runtime",
      "smollm2-135m-instruct",
      "pii-1",
      "all-minilm-l6-v2",
      "all-minilm-l6-v2-tokenizer",
    ])
      expect(named.has(name), name).to.equal(true);
    for (const { type, name, version, licenses } of sbom.components)
      if (type !== "file") expect([name, version, licenses?.length], name).to.deep.equal([name, version || "none", 1]);
    expect(new Set(sbom.components.map((one: { "bom-ref": string }) => one["bom-ref"])).size).to.equal(sbom.components.length);
    expect(named.has("typescript")).to.equal(false);
  });

  it("verifies, and refuses another signer and any byte that changed", async () => {
    const verify = (...args: string[]) => sallyport(["bundle", "verify", bundle.file, ...args]);
    expect(JSON.parse((await verify("--json", "--trust", bundle.key)).stdout)).to.include({
      sha256: bundle.sha256,
      version: bundle.version,
    });
    const stranger = await verify("--trust", "0".repeat(64));
    expect([stranger.status, stranger.stderr]).to.deep.equal([1, stranger.stderr]);
    expect(stranger.stderr).to.match(/is signed by [0-9a-f]{64}, and not by 0{64}/u);
    const ofSeal = (text: string): number => bundle.bytes - 2_048 + readFileSync(bundle.file).subarray(-2_048).indexOf(text) + text.length;
    const places = [0, bundle.bytes / 2, ofSeal("key ") + 58, ofSeal("signature ") + 85, bundle.bytes - 1];
    for (const at of places)
      await withByteChanged(bundle.file, Math.floor(at), async () => {
        expect((await verify()).status, `byte ${at}`).to.equal(1);
      });
    expect((await verify()).status).to.equal(0);
  });

  it("refuses what is no bundle, in a sentence", async () => {
    const short = join(scratchDir(), "short");
    writeFileSync(short, "short");
    const { status, stderr } = await sallyport(["bundle", "verify", short]);
    expect([status, stderr]).to.deep.equal([1, `${short} is no whole bundle: its seal is missing or damaged. Copy it again.\n`]);
    expect((await sallyport(["bundle", "verify", "/nowhere"])).status).to.equal(1);
    for (const wrong of [["bundle"], ["bundle", "verify"], ["bundle", "key", "x", "--model", "m"], ["bundle", "creat"]])
      expect(await sallyport(wrong)).to.include({ status: 2 });
  });

  it("carries only what changed since an earlier one, and says of which commit it is, and that files were changed since", async () => {
    const clone = cleanClone();
    writeFileSync(join(clone, "README.md"), "changed\n");
    const small = await createBundle(clone, "--since", bundle.file);
    expect(small.commit).to.match(/^[0-9a-f]{40}\+changes$/u);
    expect(small.bytes).to.be.below(2e6);
    const carried = execFileSync("tar", ["-tf", small.file], { encoding: "utf8" }).split("\n");
    expect(carried).to.include.members(["README.md", "install.sh", "FILES"]);
    expect(carried).not.to.include.members(["models/SmolLM2-135M-Instruct.Q4_1.gguf"]);
    expect(member(small.file, "FILES")).to.include("models/SmolLM2-135M-Instruct.Q4_1.gguf");
  });

  it("never replaces a release key, keeps it for its owner, and refuses what is none", async () => {
    const dir = scratchDir();
    const key = join(dir, "release.key");
    expect((await sallyport(["bundle", "key", key])).stdout).to.match(/fingerprint [0-9a-f]{64}/u);
    expect(statSync(key).mode & 0o777).to.equal(0o600);
    expect((await sallyport(["bundle", "key", key])).stderr).to.match(/exists already: a release key is never replaced/u);
    const missing = await sallyport(["bundle", "create", join(dir, "x"), "--key", join(dir, "none")], releaseEnv);
    expect([missing.status, existsSync(join(dir, "x"))]).to.deep.equal([1, false]);
    expect(missing.stderr).to.match(/is missing\. Make a release key: npx sallyport bundle key/u);
    const rsa = await run("openssl", ["genrsa", "-out", join(dir, "rsa"), "2048"]);
    expect(rsa.status).to.equal(0);
    expect((await sallyport(["bundle", "create", join(dir, "x"), "--key", join(dir, "rsa")])).stderr).to.match(/a release key is Ed25519/u);
  });
});
