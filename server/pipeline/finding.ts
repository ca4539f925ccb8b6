import type { Span } from "./passage.ts";

/** What a guard found. Never holds the matched text. */
export interface Finding {
  readonly guard: string;
  readonly label: string;
  /** 0 to 1; a deterministic guard says 1. */
  readonly score: number;
  readonly threshold: number;
  /** In the original text of the message, or of the answer. */
  readonly span: Span;
  /** Index of the message; absent for an answer. */
  readonly message?: number;
  readonly action: "pass" | "rewrite" | "block";
}
