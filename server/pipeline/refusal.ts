import type { Finding } from "./finding.ts";

/** Why a guard said no, by the code a client sees. */
export const refusals = {
  control_characters: "The text holds runs of control characters, as attacks on models do. Remove them.",
  invisible_text: "The text hides characters that a reader does not see. Remove them.",
  repetition: "The text repeats one piece very often, as attacks on models do. Shorten it.",
  personal_data: "The text holds personal data that this service's policy does not let pass. Remove it.",
} as const;

export type RefusalCode = keyof typeof refusals;

/** A guard said no. */
export class Refusal extends Error {
  readonly code: RefusalCode;
  readonly findings: readonly Finding[];

  constructor(code: RefusalCode, findings: readonly Finding[]) {
    super(refusals[code]);
    this.code = code;
    this.findings = findings;
  }
}
