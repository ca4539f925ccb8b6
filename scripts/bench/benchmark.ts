import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, tmpdir, totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Stopped, stopSignal } from "../stop-signal.ts";

/** What a benchmark works with. */
export interface Bench {
  /** Aborted when the command is to end. */
  readonly stop: AbortSignal;
  /** An empty directory, removed in the end. */
  readonly scratch: string;
}

export interface Measurement {
  /** What was measured; `made`, `command` and `host` are put in front. */
  readonly report: object;
  /** What the terminal shows of it. */
  readonly table: string;
  /** Without full stops. */
  readonly failures?: readonly string[];
}

/** Of the repository; an installation has none, and its code is not for writing. */
const results = fileURLToPath(new URL("../../bench/results", import.meta.url));

/**
 * Measures, writes `out` (default: `NAME.json` among the repository's results, or in the current directory) and shows it. Returns the exit status: 1
 * where there are failures.
 */
export async function runBenchmark(
  name: string,
  out: string | undefined,
  measure: (bench: Bench) => Promise<Measurement>,
): Promise<number> {
  const file = reportFile(out ?? join(existsSync(results) ? results : "", `${name}.json`));
  const stop = stopSignal();
  const scratch = mkdtempSync(join(tmpdir(), "sallyport-bench-"));
  try {
    const { report, table, failures = [] } = await measure({ stop, scratch });
    const made = { made: new Date().toISOString(), command: `npx sallyport bench ${name}`, host: host() };
    writeFileSync(file, `${JSON.stringify({ ...made, ...report }, null, 2)}\n`);
    console.log(`${table}\n\n${file}`);
    for (const failure of failures) console.error(`FAILED: ${failure}.`);
    return failures.length === 0 ? 0 : 1;
  } catch (error) {
    throw stop.aborted ? new Stopped("Stopped before all was measured; nothing was written.") : error;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Throws a sentence, before anything is measured, where `out` can't be written. */
function reportFile(out: string): string {
  const file = resolve(out);
  try {
    mkdirSync(dirname(file), { recursive: true });
    accessSync(existsSync(file) ? file : dirname(file), constants.W_OK);
    return file;
  } catch (cause) {
    throw new Error(`${file} can't be written (${(cause as NodeJS.ErrnoException).code}). Name another file with --out.`, { cause });
  }
}

/** The machine that the figures are of. */
function host(): { cpu: string; cores: number; memoryBytes: number; node: string } {
  return { cpu: cpus()[0]?.model ?? "unknown", cores: availableParallelism(), memoryBytes: totalmem(), node: process.versions.node };
}
