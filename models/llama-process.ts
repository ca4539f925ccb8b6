import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { hostGpus } from "./gpu.ts";
import type { FromChild, LlamaSettings, ToChild } from "./llama-protocol.ts";

const childFile = fileURLToPath(new URL("./llama-child.ts", import.meta.url));
const untestedUrl = new URL("./binary-untested.ts", import.meta.url).href;

/** A child that is told to end, and does not, is killed. */
const endGraceMs = 2_000;

interface Watcher {
  readonly received: (message: FromChild) => void;
  /** Once, and not where it was told to end. */
  readonly died: (how: string) => void;
  /** How long it may say nothing at the moment; undefined: as long as it likes. */
  readonly silentMsMax: () => number | undefined;
}

/** The process that computes. It has no socket, and of the environment only what it needs; one that says nothing for too long is killed. */
export class LlamaProcess {
  readonly startedMs = performance.now();
  readonly #child: ChildProcess;
  readonly #watchdog: NodeJS.Timeout;
  #watcher: Watcher | undefined;
  #heardMs = this.startedMs;
  #watchedMs = this.startedMs;
  #stalled: string | undefined;

  constructor(settings: LlamaSettings, watcher: Watcher) {
    this.#watcher = watcher;
    // Which of several GPUs' builds works here is only known when each was tried.
    const isOnCpu = settings.gpu === "off" || hostGpus().length === 0;
    this.#child = fork(childFile, [JSON.stringify(settings)], {
      execArgv: [...process.execArgv, ...(isOnCpu ? ["--import", untestedUrl] : [])],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      // One pool thread decodes for all calls: with Node's four, llama.cpp's own threads wait for each other.
      env: { ...gpuEnv(), PATH: process.env.PATH, HOME: process.env.HOME, UV_THREADPOOL_SIZE: "1" },
    });
    const errors = this.#child.stderr;
    errors?.pipe(process.stderr, { end: false });
    this.#child.on("message", (message: FromChild) => {
      // llama.cpp quotes what it can't read: from the first call on that may be a caller's text.
      if (message.type === "ready") errors?.unpipe().resume();
      this.countSilence();
      this.#watcher?.received(message);
    });
    this.#child.once("exit", (code, signal) => this.#died(this.#stalled ?? signal ?? `status ${code}`));
    // It could not be started, or a message did not reach it any more; where it ran, `exit` follows.
    this.#child.on("error", (error) => {
      if (this.pid === undefined) this.#died(error.message);
    });
    const everyMs = settings.stallMs / 4;
    this.#watchdog = setInterval(() => this.#watch(everyMs), everyMs).unref();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** What it does not get any more, its end tells. */
  send(message: ToChild): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  /** How long it says nothing counts from now on. */
  countSilence(): void {
    this.#heardMs = performance.now();
  }

  /** Ends it, and returns when it has ended. */
  async end(graceMs = endGraceMs): Promise<void> {
    this.#watcher = undefined;
    clearInterval(this.#watchdog);
    const child = this.#child;
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once("exit", resolve)); // `once` of node:events would throw at its `error`
    if (child.connected) child.disconnect();
    const kill = setTimeout(() => child.kill("SIGKILL"), graceMs);
    await exited;
    clearTimeout(kill);
  }

  #watch(everyMs: number): void {
    const nowMs = performance.now();
    // This process stood still itself (stopped, or its host was): what the child said meanwhile is only read after this.
    if (nowMs - this.#watchedMs > 2 * everyMs) this.countSilence();
    this.#watchedMs = nowMs;
    const silentMsMax = this.#watcher?.silentMsMax();
    if (silentMsMax === undefined || nowMs - this.#heardMs < silentMsMax) return;
    this.#stalled = `no progress for ${silentMsMax / 1_000} s`;
    this.#child.kill("SIGKILL");
  }

  #died(how: string): void {
    clearInterval(this.#watchdog);
    this.#watcher?.died(how);
    this.#watcher = undefined;
  }
}

/** Which of several GPUs, as the drivers' own variables say it. */
function gpuEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => /^(?:CUDA|GGML|VK)_/u.test(name)));
}
