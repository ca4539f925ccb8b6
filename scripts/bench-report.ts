import { accessSync, constants, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** Of the repository; an installation has none, and its code is not for writing. */
const results = fileURLToPath(new URL("../bench/results", import.meta.url));

/**
 * Where the figures of a benchmark go: `out`, or `NAME.json` among the repository's results, or in the current directory. Throws a sentence, before anything is
 * measured, where it can't be written.
 */
export function reportFile(name: string, out = join(existsSync(results) ? results : "", `${name}.json`)): string {
  const file = resolve(out);
  try {
    mkdirSync(dirname(file), { recursive: true });
    accessSync(existsSync(file) ? file : dirname(file), constants.W_OK);
    return file;
  } catch (cause) {
    throw new Error(`${file} can't be written (${(cause as NodeJS.ErrnoException).code}). Name another file with --out.`, { cause });
  }
}

export function writeReport(file: string, report: unknown): void {
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
}
