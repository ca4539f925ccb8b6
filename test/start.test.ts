import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { expect } from "chai";
import { clientAgent, prepareData, root, send, userSays } from "./support/appliance.ts";
import { entriesOf } from "./support/entries.ts";
import { scratchDir } from "./support/scratch.ts";
import { pause, until } from "./support/until.ts";

/** The environment for a service that loads no model. */
const echo = { SALLYPORT_CONFIG: join(scratchDir(), "sallyport.yaml") };
writeFileSync(echo.SALLYPORT_CONFIG, "models: [{ id: echo, engine: echo }]\n");

interface Started {
  readonly npm: ChildProcess;
  readonly exited: Promise<unknown[]>;
  readonly url: string;
  readonly readyMs: number;
}

/** `npm start` in the repository, in a process group of its own as a terminal would give it. */
async function npmStart(dataDir: string, more: Record<string, string> = {}): Promise<Started> {
  const startedMs = performance.now();
  const npm = spawn("npm", ["start"], {
    cwd: root,
    env: { ...process.env, PORT: "0", SALLYPORT_DATA: dataDir, ...more },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const exited = once(npm, "exit");
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [npm.stdout, npm.stderr])
      stream.on("data", (data) => {
        output += String(data);
        const found = /Sallyport answers at (\S+)/u.exec(output);
        if (found?.[1] !== undefined) resolve(found[1]);
      });
    void exited.then(() => reject(new Error(`npm start ended:\n${output}`)));
  });
  const dispatcher = clientAgent(join(dataDir, "certs"), "operator");
  expect((await send(`${url}/readyz`, "GET", undefined, { dispatcher })).body.status).to.equal("ready");
  await dispatcher.destroy();
  return { npm, exited, url, readyMs: performance.now() - startedMs };
}

/** As a terminal does, at Ctrl-C (SIGINT) or when it is closed (SIGHUP): to every process of the group at once. */
function interrupt({ npm }: Started, signal: NodeJS.Signals = "SIGINT"): void {
  process.kill(-(npm.pid ?? 0), signal);
}

/** How often the service of a data directory was started and stopped, by its log. */
function startsAndStops(dataDir: string): string {
  return entriesOf(dataDir)
    .map(({ kind }) => kind)
    .join(" ");
}

describe("npm start", () => {
  it("does what is missing, answers, ends with 0 at Ctrl-C, and is ready in five seconds the second time", async () => {
    const dataDir = scratchDir();
    const first = await npmStart(dataDir);
    for (const name of ["app", "operator", "auditor"])
      expect(statSync(join(dataDir, "certs", "clients", name, "key.pem")).mode & 0o777).to.equal(0o600);
    expect(statSync(join(dataDir, "keys", "audit.key")).mode & 0o777).to.equal(0o600);
    const dispatcher = clientAgent(join(dataDir, "certs"), "app");
    const stream = send(
      `${first.url}/v1/chat/completions`,
      "POST",
      { ...userSays("Tell a long story."), stream: true, max_tokens: 2_000 },
      { dispatcher },
    );
    await pause(500);
    interrupt(first);
    expect((await stream).text).to.include('"code":"shutting_down"');
    expect((await first.exited)[0]).to.equal(0);
    await dispatcher.destroy();

    const before = filesIn(dataDir);
    const second = await npmStart(dataDir);
    interrupt(second);
    expect((await second.exited)[0]).to.equal(0);
    expect(second.readyMs).to.be.below(5_000);
    expect(filesIn(dataDir)).to.deep.equal(before);
  }).timeout(60_000);

  it("finishes a set-up that was interrupted half-way", async () => {
    const dataDir = scratchDir();
    const certs = join(dataDir, "certs");
    const done = await npmStart(dataDir, echo);
    interrupt(done);
    await done.exited;
    // As if the power had gone between two steps: what comes later is missing, and a key lies there without its certificate.
    for (const file of ["clients/auditor", "clients/operator/cert.pem", "server/cert.pem", "crl.pem"])
      rmSync(join(certs, file), { recursive: true });
    const again = await npmStart(dataDir, echo);
    interrupt(again);
    expect((await again.exited)[0]).to.equal(0);
    expect(existsSync(join(certs, "clients", "auditor", "cert.pem"))).to.equal(true);
  }).timeout(60_000);

  it("refuses a second service on the same data, and a port that is taken, in a sentence", async () => {
    const dataDir = scratchDir();
    const first = await npmStart(dataDir, echo);
    const run = (env: Record<string, string>): { status: number | null; stderr: string } =>
      spawnSync(process.execPath, [join(root, "scripts/sallyport.ts"), "serve", "--setup"], {
        env: { ...process.env, ...echo, ...env },
        encoding: "utf8",
        timeout: 20_000,
      });
    const same = run({ PORT: "0", SALLYPORT_DATA: dataDir });
    expect([same.status, same.stderr.split("\n").at(-2)]).to.deep.equal([
      1,
      `Another sallyport service uses ${dataDir}. Stop it, or set SALLYPORT_DATA to another directory.`,
    ]);
    const taken = run({ PORT: new URL(first.url).port, SALLYPORT_DATA: scratchDir() });
    expect(taken.status).to.equal(1);
    expect(taken.stderr).to.match(/Port \d+ on 127\.0\.0\.1 is taken\. .*PORT/u);
    interrupt(first);
    await first.exited;
  }).timeout(60_000);

  it("leaves no service behind when the terminal is closed, or npm is killed outright", async () => {
    const dataDir = scratchDir();
    const closed = await npmStart(dataDir, echo);
    interrupt(closed, "SIGHUP");
    await until(() => startsAndStops(dataDir) === "started stopped");
    const killed = await npmStart(dataDir, echo);
    killed.npm.kill("SIGKILL");
    await until(() => startsAndStops(dataDir) === "started stopped started stopped");
  }).timeout(60_000);

  it("stops in the middle of loading the model at Ctrl-C, in a sentence", async () => {
    const dataDir = scratchDir();
    const child = spawn(process.execPath, [join(root, "scripts/sallyport.ts"), "serve", "--setup"], {
      env: { ...process.env, PORT: "0", SALLYPORT_DATA: dataDir },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (data) => {
      said += String(data);
    });
    const exited = once(child, "exit");
    await until(() => said.includes("issued auditor"));
    await pause(300);
    const stoppedMs = performance.now();
    child.kill("SIGINT");
    expect((await exited)[0]).to.equal(1);
    expect(performance.now() - stoppedMs).to.be.below(1_000);
    expect(said).to.match(/issued auditor\nStopped; run it again to go on\.\n/u);
  });
});

describe("the bootstrap", () => {
  const bootstrap = join(root, "scripts/bootstrap.js");
  /** What makes a Node take itself for another version. */
  const pretend = (version: string): string => `data:text/javascript,Object.defineProperty(process.versions,"node",{value:"${version}"})`;

  it("passes the exit status on, and finds the command line from any directory", () => {
    const run = (...args: string[]): number | null =>
      spawnSync(process.execPath, [bootstrap, ...args], { cwd: scratchDir(), timeout: 20_000 }).status;
    expect([run("--help"), run("no-such-command"), run("models", "pull", "no-such-model")]).to.deep.equal([0, 2, 1]);
    const npx = spawnSync("npx", ["sallyport", "--help"], { cwd: root, encoding: "utf8", timeout: 20_000 });
    expect([npx.status, npx.stdout.split("\n")[0]]).to.deep.equal([0, "sallyport: a private LLM inference appliance"]);
  }).timeout(30_000);

  it("runs the product on Node 24 or later, whatever the host has", () => {
    const dir = scratchDir();
    const host = join(dir, "node");
    copyFileSync(process.execPath, host);
    writeFileSync(join(dir, "which.ts"), "console.log(process.execPath);\n");
    const runtimeOn = (version: string): string => {
      const entry = relative(root, join(dir, "which.ts"));
      return spawnSync(host, ["--import", pretend(version), bootstrap, entry], { encoding: "utf8", timeout: 20_000 }).stdout.trim();
    };
    expect(runtimeOn("24.0.0")).to.equal(host);
    for (const older of ["20.19.0", "22.18.0", "23.11.0"]) expect(runtimeOn(older)).to.match(/node_modules\/node-\w+-\w+\/bin\/node$/u);
  }).timeout(30_000);

  it("is the service's own process on Node 24, and ends the service with itself on an older one", async () => {
    const children = (pid: number | undefined): number[] =>
      readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
    for (const version of ["24.0.0", "22.18.0"]) {
      const dataDir = prepareData();
      const env = { ...process.env, ...echo, PORT: "0", SALLYPORT_DATA: dataDir };
      const child = spawn(process.execPath, ["--import", pretend(version), bootstrap, "serve"], { env, stdio: "ignore" });
      await until(() => existsSync(join(dataDir, "audit.head")) && startsAndStops(dataDir) === "started");
      const [service] = children(child.pid);
      if (version.startsWith("24")) {
        expect(service).to.equal(undefined);
        child.kill("SIGTERM");
        expect((await once(child, "exit"))[0]).to.equal(0);
      } else {
        child.kill("SIGKILL");
        await until(() => !existsSync(`/proc/${service}`));
      }
      expect(startsAndStops(dataDir)).to.equal("started stopped");
    }
  });

  it("installs all packages whatever the environment says, and stops at once at Ctrl-C", async () => {
    const copy = scratchDir();
    mkdirSync(join(copy, "scripts"));
    copyFileSync(bootstrap, join(copy, "scripts/bootstrap.js"));
    writeFileSync(join(copy, "package.json"), '{ "type": "module" }');
    // An npm that hears no signal, as the real one does while it unpacks.
    writeFileSync(join(copy, "npm"), "#!/bin/sh\ntrap '' INT TERM HUP\necho $$ $@ > called\nsleep 60\n", { mode: 0o755 });
    const env = { ...process.env, PATH: `${copy}:${process.env.PATH}`, NODE_ENV: "production" };
    const child = spawn(process.execPath, [join(copy, "scripts/bootstrap.js"), "--help"], { env, stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.on("data", (data) => {
      said += String(data);
    });
    const called = join(copy, "called");
    await until(() => existsSync(called) && readFileSync(called, "utf8").endsWith("\n"));
    const [pid, ...args] = readFileSync(called, "utf8").trim().split(" ");
    expect(args).to.include.members(["ci", "--include=dev"]);
    child.kill("SIGINT");
    expect((await once(child, "exit"))[0]).to.equal(130);
    expect(said).to.match(/\nStopped; run it again to go on\.\n$/u);
    await until(() => !existsSync(`/proc/${pid}`));
  });

  it("installs again after an interrupted installation, and says why when npm fails", () => {
    const copy = scratchDir();
    mkdirSync(join(copy, "scripts"));
    mkdirSync(join(copy, "node_modules"));
    writeFileSync(join(copy, "scripts/bootstrap.js"), readFileSync(bootstrap));
    // No stamp: whatever lies in node_modules is half an installation. This lockfile can't be installed.
    writeFileSync(join(copy, "package.json"), '{ "name": "copy", "type": "module", "dependencies": { "left-pad": "1.3.0" } }');
    writeFileSync(join(copy, "package-lock.json"), '{ "name": "copy", "lockfileVersion": 3, "packages": {} }');
    const { status, stderr } = spawnSync(process.execPath, [join(copy, "scripts/bootstrap.js"), "--help"], {
      encoding: "utf8",
      timeout: 20_000,
    });
    expect(status).to.equal(1);
    expect(stderr).to.match(
      /Installing packages \(npm ci[\s\S]*npm ci failed with status 1:[\s\S]*Mend what it names, then run this again\./u,
    );
  }).timeout(60_000);
});

/** Every file but the log's, which grows, with its size. */
function filesIn(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: "utf8" })
    .filter((file) => statSync(join(dir, file)).isFile() && !/^(?:audit\.|service\.lock)/u.test(file))
    .map((file) => `${file} ${statSync(join(dir, file)).size}`)
    .toSorted();
}
