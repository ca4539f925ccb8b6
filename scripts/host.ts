import { availableParallelism, cpus, totalmem } from "node:os";

/** The machine, as a result of a benchmark names it. */
export function host(): { cpu: string; cores: number; memoryBytes: number; node: string } {
  return { cpu: cpus()[0]?.model ?? "unknown", cores: availableParallelism(), memoryBytes: totalmem(), node: process.versions.node };
}
