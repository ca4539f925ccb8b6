import { type ChildProcess, execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { root } from "./support/appliance.ts";
import { createBundle, laterVersion, type Made, releaseEnv, resealed, wholeBundle } from "./support/bundle.ts";
import { entriesOf } from "./support/entries.ts";
import { type Gap, openGap } from "./support/gap.ts";
import { Manual } from "./support/manual.ts";
import { sallyport } from "./support/sallyport.ts";
import { scratchDir } from "./support/scratch.ts";
import { until } from "./support/until.ts";

const hasStrace = spawnSync("/usr/bin/strace", ["--version"]).status === 0;

interface Outcome {
  readonly answered: readonly string[];
  readonly failed: readonly string[];
  readonly longestMs: number;
}

/** Everything that a program said so far. */
function listenTo(child: ChildProcess): () => string {
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (data) => {
      said += String(data);
    });
  return () => said;
}

/** Sockets that a process has open. */
function socketsOf(pid: string | undefined): string[] {
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return "closed since";
    }
  });
  return links.filter((link) => link.startsWith("socket:"));
}

describe("an installation from a bundle, on a host with an empty network, an empty home, and neither compiler nor package manager", function () {
  this.timeout(280_000);
  let gap: Gap;
  let bundle: Made;
  /** 9.0.1: only what changed, signed by the key that follows the first one. */
  let later: Made;
  let installer: string;
  const prefix = join(scratchDir(), "the appliance");
  const keys = scratchDir();
  const manual = new Manual(join(root, "docs/install.md"));
  const second = join(keys, "second");
  const trace = join(keys, "trace");
  const inPrefix = (...path: string[]): string => join(prefix, ...path);
  let service: ChildProcess | undefined;
  let serviceSaid = (): string => "";

  before(async function () {
    const opened = await openGap();
    if (opened === undefined) this.skip();
    gap = opened;
    bundle = await wholeBundle();
    const dir = scratchDir();
    const [tar = "", ...args] = manual.command("tar -xf BUNDLE install.sh", { BUNDLE: bundle.file });
    execFileSync(tar, args, { cwd: dir });
    installer = join(dir, "install.sh");
    const first = join(releaseEnv.XDG_CONFIG_HOME, "sallyport", "release.key");
    const succession = manual.command("npx sallyport bundle key NEW --succeeds OLD", { NEW: second, OLD: first });
    expect((await sallyport(succession.slice(2))).status).to.equal(0);
    later = await next(laterVersion("9.0.1"), bundle);
  });
  after(async () => {
    if (service?.exitCode === null) process.kill(-(service.pid ?? 0), "SIGKILL");
    await gap?.[Symbol.asyncDispose]();
  });

  const documented = (line: string, values: Record<string, string> = {}) => {
    const [program = "", ...args] = manual.command(line, { DIR: prefix, ...values });
    return gap.run(program, args);
  };
  const install = (file: string, where = prefix, ...more: string[]) => {
    const values = { BUNDLE: file, DIR: where, "install.sh": installer };
    const [program = "", ...args] = manual.command("sh install.sh BUNDLE --prefix DIR", values);
    return gap.run(program, [...args, ...more]);
  };
  const upgrade = (made: Made) => documented("sh DIR/current/install.sh BUNDLE --prefix DIR", { BUNDLE: made.file });
  const client = (count: number, side: number) =>
    gap.start(process.execPath, [join(root, "test/support/gap-client.ts"), inPrefix("data", "certs"), String(count), String(side)]);
  const outcomeOf = async (calls: ChildProcess): Promise<Outcome> => {
    const told = listenTo(calls);
    await once(calls, "close");
    return JSON.parse(told());
  };
  const call = (count: number, side: number): Promise<Outcome> => outcomeOf(client(count, side));
  /** Two callers call, one call after the other, while `work` is done. None of their calls fails, and the log has each. */
  const underLoad = async <T>(title: string, work: () => Promise<T>): Promise<T> => {
    const calls = client(100_000, 2);
    const ended = outcomeOf(calls);
    const result = await work();
    calls.stdin?.write("enough\n");
    const { answered, failed, longestMs } = await ended;
    console.log(
      `      ${title}: ${answered.length} calls answered, ${failed.length} failed ${failed.join()}; the longest took ${Math.round(longestMs)} ms`,
    );
    const entries = entriesOf(inPrefix("data")).filter(({ kind }) => kind === "settled");
    const settled = new Set(entries.map(({ call: id }) => id));
    expect(failed).to.deep.equal([]);
    expect(answered.length).to.be.above(10);
    expect(answered.filter((id) => !settled.has(id))).to.deep.equal([]);
    expect(longestMs).to.be.below(60_000);
    return result;
  };
  const ready = async (): Promise<{ status: string; egress: object } | undefined> => {
    const { status, stdout } = await gap.run(inPrefix("sallyport"), ["call", "--ready", "--as", "operator"]);
    return status === 0 ? JSON.parse(stdout) : undefined;
  };
  const version = async (): Promise<string> => (await gap.run(inPrefix("sallyport"), ["--version"])).stdout.trim();
  const next = (from: string, since: Made): Promise<Made> => createBundle(from, "--since", since.file, "--key", second);

  it("does not begin with a bundle of which one byte was changed, cut off or added, and writes nothing", async () => {
    const where = join(scratchDir(), "none");
    const file = openSync(bundle.file, "r+");
    const bytes = readFileSync(bundle.file);
    const end = bundle.bytes;
    for (const at of [end >> 1, end - 1_900]) {
      writeSync(file, Buffer.from([(bytes[at] ?? 0) ^ 4]), 0, 1, at);
      const { status, stderr } = await install(bundle.file, where);
      writeSync(file, bytes, at, 1, at);
      expect([status, existsSync(where)], `byte ${at}: ${stderr}`).to.deep.equal([1, false]);
    }
    appendFileSync(bundle.file, "\n");
    expect([(await install(bundle.file, where)).status, existsSync(where)]).to.deep.equal([1, false]);
    truncateSync(bundle.file, end - 1);
    expect([(await install(bundle.file, where)).status, existsSync(where)]).to.deep.equal([1, false]);
    truncateSync(bundle.file, end - 1);
    appendFileSync(bundle.file, "\n");
    expect((await sallyport(["bundle", "verify", bundle.file])).status).to.equal(0);
  });

  it("does not begin with a bundle that another key signed than the one named, or that only holds changes", async () => {
    const where = join(scratchDir(), "none");
    const stranger = await install(bundle.file, where, "--trust", "0".repeat(64));
    expect([stranger.status, existsSync(where)]).to.deep.equal([1, false]);
    expect(stranger.stderr).to.match(/is signed by [0-9a-f]{64}, and not by 0{64}/u);
    const { status, stderr } = await install(later.file, where);
    expect([status, existsSync(where)]).to.deep.equal([1, false]);
    expect(stderr).to.match(/holds only what changed since another version.*Take the whole bundle/u);
  });

  it("is ready within a minute, after having been killed in each of its eight steps, and a call with the stock SDK is answered", async () => {
    for (let step = 1; step <= 8; step++) {
      const child = gap.start("sh", [installer, bundle.file, "--prefix", prefix, "--trust", bundle.key]);
      const said = listenTo(child);
      await until(() => said().includes(`${step}/8 `), 120_000);
      if (step === 2) await until(() => existsSync(inPrefix("slots", "a.partial", "node_modules", "express")));
      process.kill(-(child.pid ?? 0), "SIGKILL");
      await once(child, "close");
    }
    const startedMs = performance.now();
    const { status, stdout, stderr } = await install(bundle.file);
    expect([status, stderr]).to.deep.equal([0, stderr]);
    expect(stdout).to.match(/is installed and was ready\. Start it: /u);
    const traced = [
      "-f",
      "--seccomp-bpf",
      "-qq",
      "-o",
      trace,
      "-e",
      "trace=execve,connect,sendto,sendmsg,sendmmsg",
      ...manual.command("DIR/run", { DIR: prefix }),
    ];
    service = hasStrace ? gap.start("/usr/bin/strace", traced) : gap.start(inPrefix("run"), []);
    serviceSaid = listenTo(service);
    await until(async () => (await ready()) !== undefined, 60_000);
    expect(performance.now() - startedMs).to.be.below(60_000);
    expect(await call(1, 1)).to.deep.include({ failed: [] });
    for (const line of ['DIR/sallyport call "Say hello." --max-tokens 16', "DIR/sallyport certs issue NAME"])
      expect((await documented(line, { NAME: "ward" })).status, line).to.equal(0);
    const doctor = await documented("DIR/sallyport doctor");
    expect([doctor.status, doctor.stdout]).to.deep.equal([0, doctor.stdout]);
    expect(doctor.stdout).to.match(new RegExp(`^ok +files +\\d+ files, SHA-256 as in the bundle of .*, commit ${bundle.commit}$`, "mu"));
  });

  it("serves from a network of its own, in which it found egress refused: /readyz and the log say so", async () => {
    expect((await ready())?.egress).to.deep.equal({ refused: true, ways: [] });
    const [started] = entriesOf(inPrefix("data")).filter(({ kind }) => kind === "started");
    expect(started?.body.egress).to.deep.equal({ refused: true, ways: [] });
    expect(serviceSaid()).to.include("Egress refused").and.not.include("WARNING");
    const [supervisor, child] = readFileSync(inPrefix("data", "run.pid"), "utf8").trim().split(" ");
    const network = (pid: string | undefined): string => readlinkSync(`/proc/${pid}/ns/net`);
    expect(network(child)).not.to.equal(network(supervisor));
    expect(readFileSync(`/proc/${child}/net/dev`, "utf8").split("\n").slice(2).join("").trim()).to.match(/^lo:/u);
    // The engine has less: not the socket that calls come by, and nothing of the service's environment.
    const socket = /: \w+:\w+ 0{8}:0000 0A (?:\S+ +){5}(\d+)/u.exec(readFileSync(`/proc/${supervisor}/net/tcp`, "utf8"))?.[1] ?? "none";
    const tasks = readdirSync(`/proc/${child}/task`).map((task) => readFileSync(`/proc/${child}/task/${task}/children`, "utf8").trim());
    const engine = tasks.join("");
    const holds = (pid: string | undefined): boolean => socketsOf(pid).includes(`socket:[${socket}]`);
    expect([holds(child), holds(engine)]).to.deep.equal([true, false]);
    const local: readonly string[] = readFileSync(`/proc/${engine}/net/unix`, "utf8").match(/\d+(?=$| \S*$)/gmu) ?? [];
    const said = readlinkSync(`/proc/${engine}/fd/2`); // where the service is started from reads it
    expect(socketsOf(engine).filter((link) => link !== said && !local.includes(link.slice("socket:[".length, -1)))).to.deep.equal([]);
    const names = (pid: string | undefined) => readFileSync(`/proc/${pid}/environ`, "utf8").match(/(?<=^|\0)\w+/gu) ?? [];
    expect(names(child)).to.include("SALLYPORT_DATA");
    expect(names(engine).filter((name) => !/^(?:PATH|HOME|UV_|NODE_CHANNEL_)/u.test(name))).to.deep.equal([]);
  });

  it("takes no bundle of a key that does not follow the pinned one", async () => {
    const { status, stderr } = await upgrade(resealed(later));
    expect(status).to.equal(1);
    expect(stderr).to.match(/this installation trusts [0-9a-f]{64} only.*rotation statement/u);
  });

  it("is upgraded under load, by a bundle of what changed, and no call fails: those that arrive meanwhile wait", async () => {
    const { status, stdout, stderr } = await underLoad("upgrade", () => upgrade(later));
    expect([status, stderr]).to.deep.equal([0, stderr]);
    expect(stdout).to.include("Sallyport 9.0.1 is installed and was ready. It runs");
    expect(await version()).to.equal("9.0.1");
  });

  it("does not go back to a version that could not read the data, or to a key that was followed by another", async () => {
    const facts = readFileSync(inPrefix("current", "BUNDLE"), "utf8");
    writeFileSync(inPrefix("current", "BUNDLE"), facts.replace("data-format 1", "data-format 2"));
    expect((await upgrade(bundle)).stderr).to.match(/The data here were written by a later version, 9\.0\.1/u);
    writeFileSync(inPrefix("current", "BUNDLE"), facts);
    expect((await upgrade(bundle)).stderr).to.match(/this installation trusts/u);
  });

  it("goes back under load to the version before when the new one does not become ready, and no call fails", async () => {
    const broken = await next(
      laterVersion("9.0.2", (clone) => {
        const file = join(clone, "server/appliance.ts");
        writeFileSync(file, `${readFileSync(file, "utf8")}\nthrow new Error("broken");\n`);
      }),
      later,
    );
    const before = readFileSync(inPrefix("release.pub"), "utf8");
    const { status, stderr } = await underLoad("way back", () => upgrade(broken));
    expect(status).to.equal(1);
    expect(stderr).to.match(/The new version did not become ready: back on 9\.0\.1/u);
    expect([await version(), readFileSync(inPrefix("release.pub"), "utf8")]).to.deep.equal(["9.0.1", before]);
  });

  it("sends no packet outside the loopback: installation, start, upgrade, a way back, a rotation, a backup, 200 calls", async () => {
    const command = (...args: string[]) => gap.run(inPrefix("sallyport"), args);
    expect((await command("certs", "rotate")).status).to.equal(0);
    const [to] = /age1[0-9a-z]{58}/u.exec((await command("backup", "--new-key", join(keys, "backup.key"))).stdout) ?? [""];
    expect(await command("backup", join(keys, "backup.age"), "--to", to)).to.include({ status: 0 });
    const { answered, failed } = await call(200, 8);
    expect([answered.length, failed]).to.deep.equal([200, []]);
    expect(gap.packetsOut()).to.equal(0);
    if (!hasStrace) return;
    const lines = readFileSync(trace, "utf8").split("\n");
    const pidOf = (line: string): string => line.split(" ")[0] ?? "";
    const outside = lines
      .map((line, at) => ({ line, at }))
      .filter(({ line }) => /AF_INET/u.test(line) && !/inet_addr\("127\.|"::1"/u.test(line))
      .map(({ line, at }) =>
        line.endsWith("<unfinished ...>") ? line + lines.slice(at + 1).find((one) => pidOf(one) === pidOf(line)) : line,
      );
    // What the self-test tried, in vain.
    expect(outside.length).to.be.above(0);
    expect(outside.filter((line) => !/connect\(.*= -1 E(?:NETUNREACH|ADDRNOTAVAIL|AFNOSUPPORT)/u.test(line))).to.deep.equal([]);
    // It runs on the first thread of the service; a library that wanted out would do so on one of its own.
    const processes = new Set(lines.filter((line) => /^\d+ +execve\(/u.test(line)).map(pidOf));
    expect(outside.filter((line) => !processes.has(pidOf(line)))).to.deep.equal([]);
  });

  it("is taken off again, and keeps the data unless told otherwise", async () => {
    expect((await gap.run("sh", [inPrefix("current/scripts/install/uninstall.sh"), "--all"])).status).to.equal(1);
    expect(await documented("sh DIR/current/scripts/install/uninstall.sh")).to.deep.include({ status: 0 });
    expect(readdirSync(prefix).toSorted()).to.deep.equal(["config", "data", "models", "release.pub"]);
    expect(existsSync(inPrefix("data", "audit.db"))).to.equal(true);
  });

  it("is described by docs/install.md, of which every command was run here or makes the bundles that were", () => {
    const create = "npx sallyport bundle create BUNDLE";
    for (const line of [create, `${create} --key NEW`, `${create} --since EARLIER`, "npx sallyport bundle verify BUNDLE"])
      manual.command(line);
    expect(manual.notRun).to.deep.equal([]);
  });
});
