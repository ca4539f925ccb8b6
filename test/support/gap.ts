import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, realpathSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Ran, run } from "./run.ts";
import { scratchDir } from "./scratch.ts";

/** What a host must have: a shell, coreutils, and a few more. No compiler, no package manager, no Node, no openssl. */
const programs = (
  "sh tar head tail cut sed grep tr wc sha256sum mktemp rm mkdir mv ln cp cat readlink sync chmod id uname dirname basename date sleep timeout unshare " +
  "env xargs rmdir"
).split(" ");

/** A host with an empty home and a network in which there is nothing but itself. */
export interface Gap extends AsyncDisposable {
  readonly home: string;
  /** Runs a program there to its end, with nothing on its path but `programs`. */
  run(program: string, args: readonly string[]): Promise<Ran>;
  /** Starts a program there, in a process group of its own. */
  start(program: string, args: readonly string[]): ChildProcess;
  /** Packets sent by interfaces other than the loopback. */
  packetsOut(): number;
}

/** Undefined where this host does not let us make a network. */
export async function openGap(): Promise<Gap | undefined> {
  const asRoot = process.getuid?.() === 0 ? [] : ["--map-root-user"];
  if (spawnSync("unshare", [...asRoot, "--net", "ip", "link", "set", "lo", "up"]).status !== 0) return undefined;
  const holder = spawn("unshare", [...asRoot, "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 3600"]);
  await once(holder.stdout, "data");
  const enter = ["--target", String(holder.pid), "--net", ...(asRoot.length > 0 ? ["--user", "--preserve-credentials"] : [])];
  const [home, path] = [scratchDir(), join(scratchDir(), "bin")];
  mkdirSync(path);
  chmodSync(dirname(path), 0o755); // for whoever is no root there, too
  for (const program of programs)
    symlinkSync(realpathSync(spawnSync("which", [program], { encoding: "utf8" }).stdout.trim()), join(path, program));
  const command = (program: string, args: readonly string[]) => [...enter, "env", "-i", `HOME=${home}`, `PATH=${path}`, program, ...args];
  return {
    home,
    run: (program, args) => run("nsenter", command(program, args)),
    start: (program, args) => spawn("nsenter", command(program, args), { stdio: "pipe", detached: true }),
    packetsOut() {
      const lines = readFileSync(`/proc/${holder.pid}/net/dev`, "utf8").split("\n").slice(2);
      const others = lines.filter((line) => line.includes(":") && !line.trim().startsWith("lo:"));
      return others.reduce((sum, line) => sum + Number(line.split(":")[1]?.trim().split(/\s+/u)[9]), 0);
    },
    async [Symbol.asyncDispose]() {
      holder.kill("SIGKILL");
      await once(holder, "exit");
    },
  };
}
