import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { issueClient } from "../certs/authority.ts";
import { listIssued } from "../certs/register.ts";
import { EchoEngine } from "../models/echo-engine.ts";
import { EngineFault } from "../models/engine.ts";
import { told } from "../scripts/failure.ts";
import { shellWord } from "../scripts/shell-word.ts";

import { echoConfig, prepareData, prose, root, startTestAppliance, type TestAppliance } from "./support/appliance.ts";
import { entriesOf } from "./support/entries.ts";
import { run } from "./support/run.ts";
import { sallyport } from "./support/sallyport.ts";
import { scratchDir } from "./support/scratch.ts";
import { startService } from "./support/service.ts";

import { pause, until } from "./support/until.ts";

/** A line of a stack. */
const stack = /^\s+at /mu;

describe("the command line", () => {
  it("prints the version of package.json", async () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    expect(await sallyport(["--version"])).to.deep.equal({ status: 0, stdout: `${version}\n`, stderr: "" });
  });

  it("tells an expected failure in a sentence, and a bug with its stack", () => {
    const system = (code: string) => Object.assign(new Error(`${code}: no`), { code, syscall: "open", path: "/d/f" });
    expect(told(new Error("No period at the end"))).to.equal("No period at the end");
    expect(told(new EngineFault("engine_unavailable", "m.gguf is missing. Fetch it."))).to.equal("m.gguf is missing. Fetch it.");
    expect(told(system("ENOSPC"))).to.equal("/d/f can't be used (open): the disk is full. Make room.");
    const sqlite = (code: string, message: string) => told(Object.assign(new Error(message), { name: "SqliteError", code }));
    expect(sqlite("SQLITE_FULL", "database or disk is full")).to.match(
      /^The audit log in .* can't be used: the disk is full \(database or disk is full\)\. Make room\.$/u,
    );
    expect(sqlite("SQLITE_BUSY_SNAPSHOT", "database is locked")).to.match(
      /can't be used: another command reads or writes it \(database is locked\)\. Wait until that has ended, and run this again\.$/u,
    );
    expect(sqlite("SQLITE_CORRUPT", "malformed")).to.match(
      /can't be used: it is damaged, or its key is another one \(malformed\)\. Put it/u,
    );
    expect(sqlite("SQLITE_ERROR", "no such table: x")).to.match(/can't be used: no such table: x\.$/u);
    for (const bug of [new TypeError("x is not a function."), new RangeError("Bad."), system("EWEIRD"), "a string"])
      expect(told(bug)).to.equal(bug);
  });

  it("says what the operating system has against a file, without a stack", async () => {
    const file = join(scratchDir(), "a-file");
    writeFileSync(file, "");
    const config = join(scratchDir(), "sallyport.yaml");
    writeFileSync(config, "models: [{ id: echo, engine: echo }]\n");
    const { status, stderr } = await sallyport(["setup"], { SALLYPORT_CONFIG: config, SALLYPORT_DATA: file });
    expect([status, stderr]).to.deep.equal([1, stderr]);
    expect(stderr).to.match(/a-file\/keys.* can't be used .*\. Correct the path\.\n$/u);
    expect(stderr).to.not.match(stack);
  });

  it("says which file had no room", async () => {
    const file = join(scratchDir(), "new.key");
    const { status, stderr } = await run("bash", [
      "-c",
      `trap '' XFSZ; ulimit -f 0; exec ${process.execPath} ${join(root, "scripts/sallyport.ts")} backup --new-key ${file}`,
    ]);
    expect([status, stderr]).to.deep.equal([1, stderr]);
    expect(stderr).to.match(/new\.key can't be used \(write\): it may not become so large\. Raise/u);
  });

  it("says at the start how to call it from a terminal that has not its settings, with paths in quotes", async () => {
    expect(shellWord("data/certs")).to.equal("data/certs");
    expect(shellWord("it's here")).to.equal("'it'\\''s here'");
    const dataDir = join(scratchDir(), "my data");
    cpSync(prepareData(), dataDir, { recursive: true });
    const service = await startService(dataDir);
    await until(() => service.output().includes("Ctrl-C stops it."));
    expect(service.output()).to.match(/--cacert '[^']*my data\/certs\/ca\.pem' --cert '/u);
    const [, settings, command] = /^ {2}(.*)npx sallyport (call .*)$/mu.exec(service.output()) ?? [];
    const there = `${settings} ${process.execPath} ${join(root, "scripts/sallyport.ts")} ${command}`;
    const { stdout } = await run("bash", ["-c", there], { PORT: "", SALLYPORT_DATA: "", SALLYPORT_CONFIG: "" });
    await service.end("SIGTERM");
    expect(stdout).to.equal("Say hello.\n");
  });

  it("says in a few lines what is wrong with how it was called", async () => {
    const { status, stderr } = await sallyport(["bench", "--quik"]);
    expect(status).to.equal(2);
    expect(stderr)
      .to.match(/^Unknown option '--quik'\.\n/u)
      .and.match(/Usage: npx sallyport bench/u);
    expect(stderr.trim().split("\n")).to.have.length.at.most(10);
    expect(stderr).to.match(/npx sallyport bench --help tells more\.\n$/u);
  });
});

describe("sallyport certs", () => {
  it("refuses wrong usage with status 2, and makes nothing", async () => {
    const dir = join(prepareData(), "certs");
    const before = listIssued(dir).length;
    const certs = (...args: string[]) => sallyport(["certs", ...args, "--dir", dir]);
    for (const [args, why] of [
      [["issue", "Bad Name"], /"Bad Name" can't be a client's name/u],
      [["issue", "app", "--role", "root"], /"root" is not a role: app, operator, auditor/u],
      [["issue", "app", "--reason", "x"], /`certs issue` takes no --reason/u],
      [["list", "--days", "3"], /`certs list` takes no --days/u],
      [["revoke"], /Name one: `certs revoke NAME`\./u],
      [["install"], /Name one: `certs install FILE`\./u],
      [["renew", "app", "operator"], /Name one at most: `certs renew \[NAME\]`\./u],
      [["list", "app"], /`certs list` takes no name\./u],
      [["toString"], /Say what to do/u],
    ] as const) {
      const { status, stderr } = await certs(...args);
      expect([status, stderr], args.join(" ")).to.deep.equal([2, stderr]);
      expect(stderr).to.match(why);
    }
    expect(listIssued(dir)).to.have.length(before);
  });

  it("says that there are none in a directory that does not exist, and does not make it", async () => {
    const dir = join(scratchDir(), "none");
    for (const args of [["list"], ["issue", "app"], ["revoke", "app"], ["rotate"]]) {
      const { status, stderr } = await sallyport(["certs", ...args, "--dir", dir]);
      expect([status, stderr]).to.deep.equal([1, `There are no certificates in ${dir}. Make them with \`npx sallyport certs init\`.\n`]);
    }
    expect(existsSync(dir)).to.equal(false);
  });
});

describe("sallyport call", () => {
  let service: TestAppliance;
  before(async () => {
    service = await startTestAppliance({ engines: [new EchoEngine("echo", { tokenDelayMs: 5 })] });
  });
  after(() => service[Symbol.asyncDispose]());

  const call = (args: readonly string[], dataDir = service.config.dataDir) =>
    sallyport(["call", "--url", `${service.url}/`, ...args], { SALLYPORT_DATA: dataDir });

  it("finds the service by itself: on a socket that another program opened, under a name that is not this host's", async () => {
    const dataDir = scratchDir();
    const config = join(dataDir, "sallyport.yaml");
    writeFileSync(config, `${echoConfig}tls: { names: [llm.bank.example] }\n`);
    const env = { SALLYPORT_DATA: dataDir, SALLYPORT_CONFIG: config };
    expect((await sallyport(["setup"], env)).status).to.equal(0);
    const handedOver = [
      "sh",
      "-c",
      'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"',
      "sh",
      process.execPath,
      join(root, "scripts/sallyport.ts"),
      "serve",
    ];
    const service = spawn(process.execPath, [join(root, "scripts/install/listen.ts"), ...handedOver], {
      env: { ...process.env, ...env, PORT: "0", SALLYPORT_HOST: "0.0.0.0" },
      stdio: "ignore",
    });
    try {
      await until(async () => (await sallyport(["call", "--ready", "--as", "operator"], env)).status === 0, 30_000);
      expect(await sallyport(["call", "Say hello."], env)).to.include({ status: 0, stdout: "Say hello.\n" });
      const { port } = new URL(readFileSync(join(dataDir, "service.url"), "utf8"));
      const named = await sallyport(["call", "Say hello.", "--url", `https://127.0.0.1:${port}`], env);
      expect([named.status, named.stderr]).to.deep.equal([1, named.stderr]);
      expect(named.stderr).to.include("does not have that name");
    } finally {
      service.kill();
      await once(service, "exit");
    }
  }).timeout(60_000);

  it("asks for at most 512 tokens unless told otherwise", async () => {
    expect((await call([prose(600)])).stdout).to.equal(`${prose(512)} […]\n`);
    expect((await call([prose(4), "--max-tokens", "2"])).stdout).to.equal(`${prose(2)} […]\n`);
    expect(await call([prose(4)])).to.deep.equal({ status: 0, stdout: `${prose(4)}\n`, stderr: "" });
  });

  it("refuses values that no model takes with status 2", async () => {
    for (const [option, value, why] of [
      ["--max-tokens", "0", /--max-tokens takes a whole number from 1, and not "0"/u],
      ["--max-tokens", "1.5", /takes a whole number/u],
      ["--temperature", "9", /--temperature takes a number from 0 to 2, and not "9"/u],
      ["--seed", "x", /--seed takes a whole number from 0/u],
    ] as const) {
      const { status, stderr } = await call(["Hello", option, value]);
      expect([status, stderr]).to.deep.equal([2, stderr]);
      expect(stderr).to.match(why);
    }
  });

  it("says which certificate is missing, damaged or not of its key", async () => {
    const certs = join(service.config.dataDir, "certs", "clients");
    const copyOf = (cert: string, key: string, name: string): void => {
      mkdirSync(join(certs, name));
      copyFileSync(join(certs, cert, "cert.pem"), join(certs, name, "cert.pem"));
      copyFileSync(join(certs, key, "key.pem"), join(certs, name, "key.pem"));
    };
    copyOf("app", "operator", "mixed");
    copyOf("app", "app", "torn");
    writeFileSync(join(certs, "torn", "key.pem"), "-----BEGIN");
    for (const [name, why] of [
      ["mixed", /mixed\/cert\.pem and .*mixed\/key\.pem do not belong together\. Issue a new one with `npx sallyport certs issue mixed`/u],
      ["torn", /torn\/key\.pem is damaged\. Issue/u],
      ["nobody", /nobody\/cert\.pem is missing\. Issue/u],
    ] as const) {
      const { status, stderr } = await call(["Hello", "--as", name]);
      expect([status, stderr]).to.deep.equal([1, stderr]);
      expect(stderr).to.match(why).and.not.match(stack);
    }
  });

  it("says that a certificate is revoked, before and in the middle of an answer", async () => {
    issueClient(join(service.config.dataDir, "certs"), "leaver", "app");
    const running = call([prose(1_000), "--max-tokens", "1000", "--as", "leaver"]);
    // From there on it is answered.
    await until(() => entriesOf(service.config.dataDir).some(({ kind, body }) => kind === "received" && body.caller.name === "leaver"));
    await pause(500);
    await sallyport(["certs", "revoke", "leaver"], { SALLYPORT_DATA: service.config.dataDir });
    const { status, stdout, stderr } = await running;
    expect([status, stderr]).to.deep.equal([1, stderr]);
    expect(stdout).to.match(/^In spring the river .*\n$/u);
    expect(stderr).to.match(/^The connection to https:\S+ broke in the middle of the answer\. .*leaver was revoked\.\n$/u);
    const again = await call(["Hello", "--as", "leaver"]);
    expect([again.status, again.stderr]).to.deep.equal([1, again.stderr]);
    expect(again.stderr)
      .to.match(/certificate of leaver/u)
      .and.not.match(stack);
  });

  it("says that the service may have died, or is not Sallyport, when the connection ends without an answer", async () => {
    const certs = join(service.config.dataDir, "certs");
    const pair = { cert: readFileSync(join(certs, "server", "cert.pem")), key: readFileSync(join(certs, "server", "key.pem")) };
    const server = createServer(pair, (request, response) => {
      if (request.headers["content-length"] === undefined) response.end("<html>");
      else response.destroy();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo; // a TCP server has no other kind
    const other = (...args: string[]) =>
      sallyport(["call", "--url", `https://127.0.0.1:${port}`, ...args], { SALLYPORT_DATA: service.config.dataDir });
    const gone = await other("Hello");
    expect([gone.status, gone.stderr]).to.deep.equal([1, gone.stderr]);
    expect(gone.stderr).to.match(/does not answer .*The service may just have ended, or it refuses the certificate of app/u);
    expect((await other("--ready")).stderr).to.match(/is not Sallyport \(status 200\): correct --url/u);
    server.close();
  });
});
