import type { Finding } from "./finding.ts";

/** Why a guard said no, by the code a client sees. */
export const refusals = {
  control_characters: "The text holds runs of control characters, as attacks on models do. Remove them.",
  invisible_text: "The text hides characters that a reader does not see. Remove them.",
  repetition: "The text repeats one piece very often, as attacks on models do. Shorten it.",
  too_long_to_judge:
    "The text is longer than what this service judges in one call, or disguised too many times over. Send less, or in several calls.",
  injection: "The text tries to change what the model was told to do. Remove that part, or say it as a question about the subject.",
  delicate: "The text is delicate, and this service's policy does not let such text pass.",
  topic: "The text speaks of what this service's policy excludes.",
  canary: "The answer repeated what it must not.",
  links: "The answer held pictures or links that may carry data outwards.",
  tool_call: "The answer called a function in a way that this service's policy, or the function's own schema, does not allow.",
  tool_confirmation:
    "The answer calls a function that this service's policy lets go only when the application says so. Confirm the call, or leave it.",
  schema: "The answer did not fit the schema that was asked for.",
  active_content: "The answer held code that would run where it is shown.",
  personal_data: "The text holds personal data that this service's policy does not let pass. Remove it.",
} as const;

export type RefusalCode = keyof typeof refusals;

export const refusalCodes = Object.keys(refusals) as RefusalCode[]; // an object literal has no other keys

/** A guard said no. */
export class Refusal extends Error {
  readonly code: RefusalCode;
  readonly findings: readonly Finding[];

  constructor(code: RefusalCode, findings: readonly Finding[], message: string = refusals[code]) {
    super(message);
    this.code = code;
    this.findings = findings;
  }

  /** The same in the operator's words, where there are some. */
  in(sentences: Partial<Record<RefusalCode, string>>): Refusal {
    return new Refusal(this.code, this.findings, sentences[this.code]);
  }
}
