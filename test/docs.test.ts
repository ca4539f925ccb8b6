import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { parse } from "yaml";
import { readCatalogue } from "../models/catalogue.ts";
import { LlamaEngine } from "../models/llama-engine.ts";
import { configSchema, readConfig } from "../server/config.ts";
import { faults } from "../server/fault.ts";
import { refusals } from "../server/pipeline/refusal.ts";
import { policySchema, readPolicy } from "../server/policy/policy.ts";
import { echoConfig, root, startTestAppliance, type TestAppliance } from "./support/appliance.ts";
import { llamaSettings, modelsDir } from "./support/model.ts";
import { pythonWithOpenAI } from "./support/python.ts";
import { run } from "./support/run.ts";
import { sallyport } from "./support/sallyport.ts";
import { scratchDir } from "./support/scratch.ts";
import { pause } from "./support/until.ts";

const read = (file: string): string => readFileSync(join(root, file), "utf8");

describe("the documentation", () => {
  it("has every configuration key in sallyport.yaml, with its default", () => {
    const { data, ...written } = parse(read("sallyport.yaml"));
    const { data: _, ...defaults } = configSchema.parse({});
    expect(written).to.deep.equal(defaults);
    expect(data).to.equal("data");
  });

  it("has every variable of the environment at the beginning of sallyport.yaml", async () => {
    const { stdout } = await sallyport(["serve", "--help"]);
    const variables = [...(stdout.split("Environment:")[1] ?? "").matchAll(/[A-Z][A-Z_]{3,}/gu)].map(([name]) => name);
    expect(variables).to.include.members(["PORT", "LOG_LEVEL"]);
    expect(
      read("sallyport.yaml")
        .split("\n\n")[0]
        ?.match(/[A-Z][A-Z_]{3,}/gu),
    ).to.have.members(variables);
  });

  it("has every policy key in policies/default.yaml, with its default", () => {
    expect(parse(read("policies/default.yaml"))).to.deep.equal(policySchema.parse({}));
  });

  it("has every error code in docs/api.md, with its status and type, and no other", () => {
    const rows = [...read("docs/api.md").matchAll(/^\| (\d{3}) +\| (\w+) +\| `(\w+)` +\|/gmu)].map(
      ([, status, type, code]) => `${code} ${status} ${type}`,
    );
    const ours = Object.entries(faults).map(([code, [status, type]]) => `${code} ${status} ${type}`);
    const refused = Object.keys(refusals).map((code) => `${code} 400 guard_refusal`);
    expect(rows.toSorted()).to.deep.equal([...ours, ...refused].toSorted());
  });

  it("names only files that are there, and so do its links", () => {
    const files = execFileSync("git", ["ls-files", "*.md", "NOTICE"], { cwd: root, encoding: "utf8" }).trim().split("\n");
    expect(files).to.include.members(["README.md", "NOTICE", "docs/operations.md", "classifiers/injection/CARD.md"]);
    const own = /`((?:server|models|classifiers|scripts|test|bench|policies|docs)\/[\w./-]*|certs\/[\w-]+\.ts)`/gu;
    for (const file of files) {
      const named = [...read(file).matchAll(own)].map(([, path = ""]) => path);
      const linked = [...read(file).matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/gu)].map(([, path = ""]) => join(dirname(file), path));
      const gone = [...named, ...linked].filter((path) => !existsSync(join(root, path)));
      expect(gone, file).to.deep.equal([]);
    }
  });

  it("names every command, and each has help that says how it is used", async () => {
    const { stdout } = await sallyport(["--help"]);
    const commands = [...stdout.matchAll(/^ {2}(\w+) /gmu)].map(([, name]) => name ?? "");
    expect(commands).to.deep.equal([
      "setup",
      "serve",
      "call",
      "doctor",
      "models",
      "certs",
      "audit",
      "backup",
      "restore",
      "attest",
      "classify",
      "bundle",
      "bench",
    ]);
    for (const name of commands) {
      expect(read("README.md")).to.include(`\`${name}`);
      const help = await sallyport([name, "--help"]);
      expect([help.status, help.stdout]).to.deep.equal([0, help.stdout]);
      expect(help.stdout).to.match(new RegExp(`^Usage: npx sallyport ${name}\\b`, "u"));
    }
  });

  it("has a NOTICE with every package and its version, and every model", () => {
    const { dependencies, optionalDependencies } = JSON.parse(read("package.json"));
    for (const [name, wanted] of Object.entries({ ...dependencies, ...optionalDependencies })) {
      expect(read("NOTICE")).to.include(`- ${name} ${String(wanted).replace(/^npm:.*@/u, "")}, `);
    }
    for (const { licence } of readCatalogue(modelsDir)) expect(read("NOTICE")).to.include(licence);
    for (const file of globSync("classifiers/*/model.onnx", { cwd: root }))
      expect(read("NOTICE")).to.match(new RegExp(`[{,/]${file.split("/")[1]}\\b`, "u"));
  });
});

describe("configuration and policy", () => {
  const refusal = (text: string, how: (file: string) => unknown): string => {
    const file = join(scratchDir(), "file.yaml");
    writeFileSync(file, text);
    try {
      how(file);
    } catch (error) {
      return (error as Error).message;
    }
    return "taken";
  };
  const config = (text: string): string => refusal(text, (file) => readConfig({ SALLYPORT_CONFIG: file }));
  const policy = (text: string): string => refusal(text, readPolicy);

  it("refuse unknown keys and wrong values by name", () => {
    expect(config("modles: []\n")).to.match(/file\.yaml is not valid:\n {2}modles: there is no such key/u);
    expect(config("limits: { body_bytes_max: 0 }\n")).to.match(/limits\.body_bytes_max: /u);
    expect(config("models: [{ id: a }, { id: a }]\n")).to.match(/names the model a twice/u);
    expect(config("models: [{ id: echo, engine: ehco }]\n")).to.match(/models\.0\.engine: must be echo$/u);
    expect(config("models: [{ id: m, token_delay_ms: 5 }]\n")).to.match(/token_delay_ms: goes with `engine: echo` only$/u);
    expect(config("- models\n")).to.match(/is not valid:\n {2}the file: must be a mapping$/u);
    expect(config("{")).to.match(/not valid YAML/u);
    expect(policy("input: { personal_dta: off }\n")).to.match(/input\.personal_dta: there is no such key/u);
    expect(policy("input: { personal_data: { labels: [SHOE_SIZE] } }\n")).to.match(
      /input\.personal_data\.labels\.0: must be EMAIL or .* or VEHICLE_ID$/u,
    );
    expect(policy("input: { personal_data: mask }\n")).to.match(/input\.personal_data: must be off or a mapping$/u);
    expect(config("policy: nowhere.yaml\n")).to.match(/policy nowhere\.yaml is neither at/u);
  });

  it("let the environment win, and refuse what is no port", () => {
    expect(readConfig({ PORT: "9", SALLYPORT_HOST: "::1", SALLYPORT_DATA: "/d", SALLYPORT_MODELS: "/m" })).to.deep.include({
      listen: { host: "::1", port: 9 },
      dataDir: "/d",
      modelsDir: "/m",
    });
    expect(() => readConfig({ PORT: "http" })).to.throw(/PORT is http; it must be a whole number from 0 to 65535/u);
    expect(() => readConfig({ SALLYPORT_CONFIG: "/gone.yaml" })).to.throw(/no such file/u);
    expect(() => readConfig({ SALLYPORT_CONFIG: root })).to.throw(/is a directory\. Name a file\./u);
    expect(readConfig({ SALLYPORT_CONFIG: "" })).to.deep.equal(readConfig({}));
  });
});

describe("the README's calls", () => {
  let appliance: TestAppliance;
  before(async () => {
    appliance = await startTestAppliance({ engines: [await LlamaEngine.start(llamaSettings(), 64)] });
  });
  after(() => appliance[Symbol.asyncDispose]());

  /** The first code of a language that calls the API, aimed at this test's appliance. */
  const snippet = (language: string): string => {
    const blocks = [...read("README.md").matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "gu"))].map(
      ([, code]) => code ?? "",
    );
    const block = blocks.find((code) => code.includes("https://127.0.0.1:8443")) ?? "";
    return block.replaceAll("https://127.0.0.1:8443", appliance.url).replaceAll("data/certs", appliance.certsDir);
  };

  it("with curl", async () => {
    const { status, stdout } = await run("bash", ["-c", snippet("sh").replace("curl", "curl -sS")]);
    expect(status).to.equal(0);
    const answer = JSON.parse(stdout);
    expect(answer.choices[0].message.content).to.be.a("string").with.length.above(0);
  });

  it("with Python", async () => {
    const file = join(scratchDir(), "readme.py");
    writeFileSync(file, snippet("python"));
    const { status, stdout, stderr } = await (await pythonWithOpenAI())(file, []);
    expect([status, stderr]).to.deep.equal([0, ""]);
    expect(stdout).to.have.length.above(0);
  }).timeout(180_000);

  it("with Node", async () => {
    const dir = mkdtempSync(join(root, "test/.readme-")); // where its packages are found
    try {
      writeFileSync(join(dir, "readme.mjs"), snippet("js"));
      const { status, stdout, stderr } = await run(process.execPath, [join(dir, "readme.mjs")]);
      expect([status, stderr]).to.deep.equal([0, ""]);
      expect(stdout).to.have.length.above(0);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("with sallyport call, which also asks for readiness", async () => {
    const env = { SALLYPORT_DATA: appliance.config.dataDir };
    const { status, stdout } = await sallyport(["call", "Say hello.", "--max-tokens", "16", "--url", appliance.url], env);
    expect(status).to.equal(0);
    expect(stdout.trim()).to.have.length.above(0);
    const ready = await sallyport(["call", "--ready", "--as", "operator", "--url", appliance.url], env);
    expect([ready.status, JSON.parse(ready.stdout).status]).to.deep.equal([0, "ready"]);
    const nobody = await sallyport(["call", "Hello", "--url", "https://127.0.0.1:1"], env);
    expect([nobody.status, nobody.stderr]).to.deep.equal([1, nobody.stderr]);
    expect(nobody.stderr).to.match(/does not answer.*Start it with `npm start`/u);
    expect(await sallyport(["call"], env)).to.include({ status: 2 });
    for (const url of ["nonsense", "http://127.0.0.1:1", "https://127.0.0.1:99999"])
      expect(await sallyport(["call", "Hello", "--url", url], env)).to.include({ status: 2 });
    expect(await sallyport(["cal"], env)).to.include({ status: 2 });
  });
});

describe("the Dockerfile", () => {
  const instructions = read("Dockerfile")
    .replaceAll("\\\n", " ")
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => /^([A-Z]+) (.+)$/u.exec(line) ?? [])
    .map(([, name = "?", value = ""]) => ({ name, value }));
  const values = (name: string): string[] => instructions.filter((one) => one.name === name).map((one) => one.value);

  it("is made of Docker's instructions, in two stages on Node 24", () => {
    const known = ["FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD"];
    expect(instructions.filter(({ name }) => !known.includes(name))).to.deep.equal([]);
    expect(values("FROM")).to.deep.equal(["node:24-bookworm-slim AS build", "node:24-bookworm-slim"]);
  });

  it("copies only what is in the repository, and all that the service imports", () => {
    const copied = values("COPY")
      .filter((value) => !value.startsWith("--from"))
      .flatMap((value) => value.split(/\s+/u).slice(0, -1));
    const tracked = execFileSync("git", ["ls-files"], { cwd: root, encoding: "utf8" }).split("\n");
    for (const path of copied)
      expect(
        tracked.some((file) => file === path || file.startsWith(`${path}/`)),
        path,
      ).to.equal(true);
    for (const folder of ["certs", "classifiers", "models", "scripts", "server", "bench", "policies", "sallyport.yaml"])
      expect(copied).to.include(folder);
  });

  it("runs as a user without rights, with a health check and a command that work", async () => {
    const order = instructions.map(({ name }) => name);
    expect(values("USER")).to.deep.equal(["node"]);
    expect(order.lastIndexOf("USER")).to.be.below(order.indexOf("CMD"));
    const command = (value: string): string[] => JSON.parse(value.slice(value.indexOf("[")));
    const [, entry, ...serve] = command(values("CMD")[0] ?? "");
    const [, , ...health] = command(values("HEALTHCHECK")[0]?.split(" CMD ")[1] ?? "");
    expect(entry).to.equal("scripts/sallyport.ts");
    const port = String(20_000 + (process.pid % 10_000));
    const config = join(scratchDir(), "sallyport.yaml");
    writeFileSync(config, echoConfig);
    const env = { ...process.env, SALLYPORT_CONFIG: config, SALLYPORT_DATA: scratchDir(), PORT: port };
    const child = spawn(process.execPath, [join(root, entry ?? ""), ...serve], { env, stdio: "ignore" });
    const exited = once(child, "exit");
    const isHealthy = async (): Promise<boolean> =>
      (await sallyport(health, { SALLYPORT_DATA: env.SALLYPORT_DATA, PORT: port })).status === 0;
    const startedMs = performance.now();
    while (!(await isHealthy())) {
      if (performance.now() - startedMs > 20_000) throw new Error("never became healthy");
      await pause(300);
    }
    child.kill("SIGTERM");
    expect((await exited)[0]).to.equal(0);
  }).timeout(60_000);
});
