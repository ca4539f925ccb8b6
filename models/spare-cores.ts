import { readFileSync } from "node:fs";

/** How often it is looked whether a core is idle. */
const lookEveryMs = 100;

/**
 * How many threads the next step is computed with. llama.cpp's threads wait for each other several hundred times a token, spinning: as soon as
 * another program takes one of their cores, all of them stand still until the system lets it go on. One thread fewer is then many times as fast.
 */
export class SpareCores {
  readonly #threadsMax: number;
  #threads: number;
  #step = now();
  #look = { atMs: performance.now(), idleMs: idleMs() };

  constructor(threadsMax: number) {
    this.#threadsMax = threadsMax;
    this.#threads = threadsMax;
  }

  /** To be called at the end of each step; returns the threads for the next one. */
  next(): number {
    const then = this.#step;
    this.#step = now();
    const wallMs = this.#step.wallMs - then.wallMs;
    const cores = (this.#step.cpuMs - then.cpuMs) / wallMs;
    const displaced = this.#step.displaced > then.displaced;
    // One other program at work leaves n threads n / (n + 1) of their time.
    if (displaced && cores < this.#threads * (1 - 0.5 / (this.#threads + 1)))
      this.#threads = Math.max(1, Math.min(this.#threads - 1, Math.floor(cores)));
    else if (this.#threads < this.#threadsMax && this.#step.wallMs - this.#look.atMs >= lookEveryMs) {
      const idle = idleMs();
      const free = Math.round((idle - this.#look.idleMs) / (this.#step.wallMs - this.#look.atMs) - 0.3);
      this.#look = { atMs: this.#step.wallMs, idleMs: idle };
      this.#threads = Math.min(this.#threadsMax, this.#threads + Math.max(0, free));
    }
    return this.#threads;
  }
}

function now(): { wallMs: number; cpuMs: number; displaced: number } {
  const { userCPUTime, systemCPUTime, involuntaryContextSwitches } = process.resourceUsage();
  return { wallMs: performance.now(), cpuMs: (userCPUTime + systemCPUTime) / 1000, displaced: involuntaryContextSwitches };
}

/** All cores of this host together; in hundredths of a second, which is the kernel's unit for programs. */
function idleMs(): number {
  return Number(readFileSync("/proc/stat", "utf8").split("\n", 1)[0]?.split(/\s+/u)[4]) * 10;
}
