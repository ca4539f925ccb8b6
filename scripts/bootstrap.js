#!/usr/bin/env node
// The first thing that runs: installs what is missing, finds Node 24 or later, and hands over.
// Plain JavaScript without dependencies, for any Node from 20.19 on.
//   bootstrap.js COMMAND …       the sallyport command line
//   bootstrap.js FILE.ts …       another entry of this repository
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const stampFile = join(root, "node_modules", ".sallyport-installed");
const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
const args = process.argv.slice(2);
const entry = join(root, args[0]?.endsWith(".ts") ? args.shift() : "scripts/sallyport.ts");

if (!atLeast(20, 19)) fail(`Node ${process.versions.node} is too old: install Node 20.19 or later.`);
endWithNpm();
if (!installed()) await install();
// Older ones lack `await using`.
if (atLeast(24, 0)) {
  process.argv = [process.execPath, entry, ...args];
  await import(pathToFileURL(entry).href);
} else handOver(bundledRuntime());

/** npm that is killed outright passes no signal on. */
function endWithNpm() {
  const parent = process.ppid;
  if (!["start", "npx"].includes(process.env.npm_lifecycle_event)) return;
  setInterval(() => process.ppid !== parent && process.kill(process.pid, "SIGTERM"), 500).unref();
}

/** Whether `npm ci` has finished for this lockfile. An interrupted one leaves no stamp and is done again. */
function installed() {
  return existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp();
}

function stamp() {
  const lock = existsSync(join(root, "package-lock.json")) ? readFileSync(join(root, "package-lock.json")) : "";
  return createHash("sha256").update(lock).update(`${process.platform} ${process.arch}`).digest("hex");
}

async function install() {
  rmSync(stampFile, { force: true });
  const startedMs = Date.now();
  const seconds = () => Math.round((Date.now() - startedMs) / 1000);
  process.stderr.write("Installing packages (npm ci, a minute or so, once) …\n");
  const tick = setInterval(() => process.stderr.write(`  … ${seconds()} s\n`), 5_000);
  const { status, output } = await npm("ci", "--include=dev", "--include=optional", "--no-progress", "--loglevel=error");
  clearInterval(tick);
  if (status !== 0) fail(`npm ci failed with status ${status}:\n${output.trim()}\nMend what it names, then run this again.`);
  writeFileSync(stampFile, stamp());
  process.stderr.write(`Installing packages: done in ${seconds()} s\n`);
}

/** Runs npm until it ends. In a process group of its own, so that a stop ends all of it at once. */
function npm(...npmArgs) {
  // .npmrc switches install scripts off; the variables say the same to packages that look for them.
  const quiet = { ONNXRUNTIME_NODE_INSTALL: "skip", NODE_LLAMA_CPP_SKIP_DOWNLOAD: "true", NODE_LLAMA_CPP_POSTINSTALL: "skip" };
  const child = spawn("npm", npmArgs, { cwd: root, env: { ...process.env, ...quiet }, stdio: ["ignore", "pipe", "pipe"], detached: true });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (data) => {
      output += String(data);
    });
  const stop = (signal) => {
    process.kill(-child.pid, "SIGKILL");
    fail("Stopped; run it again to go on.", 128 + constants.signals[signal]);
  };
  for (const signal of signals) process.on(signal, stop);
  return new Promise((resolve) => {
    child.on("error", (error) => fail(`npm can't be started: ${error.message}. Install it, then run this again.`));
    child.on("close", (status, signal) => {
      for (const name of signals) process.off(name, stop);
      resolve({ status: status ?? signal, output });
    });
  });
}

/** The Node that the packages bring. */
function bundledRuntime() {
  const bundled = join(root, "node_modules", `node-${process.platform}-${process.arch}`, "bin", "node");
  if (!existsSync(bundled))
    fail(`There is no bundled runtime for ${process.platform}-${process.arch}: install Node 24 and run this again.`);
  return bundled;
}

/** Runs the entry until it ends and passes signals on. The entry ends when the channel closes: this process was killed. */
function handOver(runtime) {
  const child = spawn(runtime, [entry, ...args], { stdio: ["inherit", "inherit", "inherit", "ipc"] });
  for (const signal of signals) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => fail(`${runtime} can't be started: ${error.message}`));
  child.on("exit", (status, signal) => {
    process.exitCode = status ?? 128 + constants.signals[signal];
  });
}

function atLeast(major, minor) {
  const [isMajor, isMinor] = process.versions.node.split(".").map(Number);
  return isMajor > major || (isMajor === major && isMinor >= minor);
}

function fail(message, status = 1) {
  process.stderr.write(`${message}\n`);
  process.exit(status);
}
