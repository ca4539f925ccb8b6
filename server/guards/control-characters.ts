import type { Detection, Detector } from "./detector.ts";

/** C0 and C1 without tab and line feed, and carriage returns that belong to no line end. Backspaces and carriage returns by the hundred make models forget their instructions. */
const runs = /(?:(?![\t\n\r])\p{Cc}|\r(?!\n))+/gu;

/** Runs longer than `runMax` block; shorter ones are removed, a lone carriage return becomes a line feed. */
export function controlCharacters({ runMax }: { runMax: number }): Detector {
  return (text) =>
    [...text.matchAll(runs)].map(({ index, 0: run }): Detection => {
      const action = run.length > runMax ? "block" : "rewrite";
      return {
        label: "CONTROL_CHARACTERS",
        span: { start: index, end: index + run.length },
        action,
        replacement: run === "\r" ? "\n" : "",
      };
    });
}
