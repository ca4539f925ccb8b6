import type { Guard, Prompt } from "../pipeline/guard.ts";

/** Pieces of a text: about as many as a classifier has tokens for it, or more. */
const pieces = /[\p{L}\p{M}]{1,4}|\S/gu;
const pieceChars = 8;

/** Input gate: what is too long to be judged in time is refused before anything looks at it. `tokensMax`: of all messages together, about. */
export function lengthOfPrompt({ tokensMax }: { tokensMax: number }): Guard<Prompt> {
  return {
    name: "length",
    inspect({ messages }) {
      let left = tokensMax;
      for (const { origin, passage, index: message } of messages) {
        // What is far too long is not even counted.
        left -= passage.text.length > left * pieceChars ? Number.POSITIVE_INFINITY : (passage.text.match(pieces)?.length ?? 0);
        if (left < 0) {
          const span = { start: 0, end: passage.text.length };
          const finding = { guard: "length", label: "LENGTH", score: 1, threshold: 1, span, message, origin, action: "block" as const };
          return { action: "block", code: "too_long_to_judge", findings: [finding] };
        }
      }
      return { action: "pass", findings: [] };
    },
  };
}
