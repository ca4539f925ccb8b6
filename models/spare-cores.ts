import { readFileSync } from "node:fs";

/** How often it is looked whether a core is idle. */
const lookEveryMs = 50;
/** What threads lose in a step to a program that only looked in, together. */
const lostMsMin = 6;

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
    this.#threads = 1;
  }

  /** To be called before the first step after a rest; returns the threads for it. */
  begin(): number {
    this.#step = now();
    this.#lookForIdle();
    return this.#threads;
  }

  /** To be called at the end of each step; returns the threads for the next one. */
  next(): number {
    const then = this.#step;
    this.#step = now();
    const wallMs = this.#step.wallMs - then.wallMs;
    const cpuMs = this.#step.cpuMs - then.cpuMs;
    const displaced = this.#step.displaced > then.displaced && this.#threads * wallMs - cpuMs > lostMsMin;
    const threads = displaced ? whenDisplaced(this.#threads, cpuMs / wallMs) : this.#threads;
    if (threads < this.#threads) {
      this.#threads = threads;
      this.#look = { atMs: this.#step.wallMs, idleMs: idleMs() }; // what was idle before says nothing now
    } else this.#lookForIdle();
    return this.#threads;
  }

  #lookForIdle(): void {
    const { wallMs } = this.#step;
    if (this.#threads === this.#threadsMax || wallMs - this.#look.atMs < lookEveryMs) return;
    const look = { atMs: wallMs, idleMs: idleMs() };
    const idle = (look.idleMs - this.#look.idleMs) / (look.atMs - this.#look.atMs);
    this.#look = look;
    this.#threads = Math.min(this.#threadsMax, whenIdle(this.#threads, idle));
  }
}

/** `used`: cores that `threads` threads had in a step in which the system took one away from them. */
export function whenDisplaced(threads: number, used: number): number {
  // With two threads, one alone is as fast once the other has lost half of its core.
  return used < threads - 0.5 ? Math.max(1, Math.min(threads - 1, Math.floor(used))) : threads;
}

/** `idle`: cores that nobody used. Half of one is enough: one more thread has more of it than those that run lose by waiting for it. */
export function whenIdle(threads: number, idle: number): number {
  return threads + Math.floor(idle + 0.5);
}

function now(): { wallMs: number; cpuMs: number; displaced: number } {
  const { userCPUTime, systemCPUTime, involuntaryContextSwitches } = process.resourceUsage();
  return { wallMs: performance.now(), cpuMs: (userCPUTime + systemCPUTime) / 1000, displaced: involuntaryContextSwitches };
}

/** All cores of this host together; in hundredths of a second, which is the kernel's unit for programs. */
function idleMs(): number {
  return Number(readFileSync("/proc/stat", "utf8").split("\n", 1)[0]?.split(/\s+/u)[4]) * 10;
}
