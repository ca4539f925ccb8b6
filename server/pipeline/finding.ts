import type { Origin } from "./guard.ts";
import type { OriginalSpan } from "./passage.ts";

/** What a guard found. Never holds the matched text. */
export interface Finding {
  readonly guard: string;
  readonly label: string;
  /** 0 to 1; a deterministic guard says 1. */
  readonly score: number;
  readonly threshold: number;
  /** In the original text of the message, or of the answer. */
  readonly span: OriginalSpan;
  /** Index of the message; absent for an answer, and for what stands beside the messages. */
  readonly message?: number | undefined;
  /** Where the message comes from; absent for an answer. */
  readonly origin?: Origin;
  /** How the text was read when this was seen, where that is not as it stands. */
  readonly view?: string;
  /** Of the model that saw it. */
  readonly model?: string;
  /** `shadow`: judged and recorded, and nothing done. */
  readonly action: "shadow" | "rewrite" | "quarantine" | "block";
}

/** A hostile text has a hundred thousand: so many are told, and how many there were. */
export const findingsMax = 1_000;

/** The first findings, and how many there are in all. */
export function told(findings: readonly Finding[]): { findings: readonly Finding[]; findings_total: number } {
  return { findings: findings.slice(0, findingsMax), findings_total: findings.length };
}
