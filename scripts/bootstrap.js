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
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const stampFile = join(root, "node_modules", ".sallyport-installed");
const args = process.argv.slice(2);
const entry = args[0]?.endsWith(".ts") ? args.shift() : "scripts/sallyport.ts";

if (!atLeast(process.versions.node, 20, 19)) fail(`Node ${process.versions.node} is too old: install Node 20.19 or later.`);
if (!installed()) await install();
process.exitCode = await run(runtime(), ["--disable-warning=ExperimentalWarning", join(root, entry), ...args], "inherit");

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
  let output = "";
  // .npmrc switches install scripts off; the variables say the same to packages that look for them.
  const status = await run("npm", ["ci", "--no-progress", "--loglevel=error"], (text) => {
    output += text;
  });
  clearInterval(tick);
  if (status !== 0) fail(`npm ci failed with status ${status}:\n${output.trim()}\nMend what it names, then run this again.`);
  writeFileSync(stampFile, stamp());
  process.stderr.write(`Installing packages: done in ${seconds()} s\n`);
}

/** This Node when it is the one the product runs on, or later (older ones lack `await using`), otherwise the one that the packages bring. */
function runtime() {
  if (atLeast(process.versions.node, 24, 0)) return process.execPath;
  const bundled = join(root, "node_modules", `node-${process.platform}-${process.arch}`, "bin", "node");
  if (!existsSync(bundled))
    fail(`There is no bundled runtime for ${process.platform}-${process.arch}: install Node 24 and run this again.`);
  return bundled;
}

/** Runs a program until it ends and passes signals on. `output`: "inherit", or what to do with a piece of its output. */
function run(program, programArgs, output) {
  return new Promise((resolve) => {
    const inherit = output === "inherit";
    const env = {
      ...process.env,
      ONNXRUNTIME_NODE_INSTALL: "skip",
      NODE_LLAMA_CPP_SKIP_DOWNLOAD: "true",
      NODE_LLAMA_CPP_POSTINSTALL: "skip",
    };
    const child = spawn(program, programArgs, {
      cwd: inherit ? undefined : root,
      env,
      stdio: inherit ? "inherit" : ["ignore", "pipe", "pipe"],
    });
    if (!inherit) for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => output(String(data)));
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
    const pass = (signal) => child.kill(signal);
    for (const signal of signals) process.on(signal, pass);
    child.on("error", (error) => fail(`${program} can't be started: ${error.message}`));
    child.on("close", (status, signal) => {
      for (const name of signals) process.off(name, pass);
      resolve(status ?? 128 + constants.signals[signal]);
    });
  });
}

function atLeast(version, major, minor) {
  const [isMajor, isMinor] = version.split(".").map(Number);
  return isMajor > major || (isMajor === major && isMinor >= minor);
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
