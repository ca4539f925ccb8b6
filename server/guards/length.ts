import type { TokenCount } from "../../classifiers/classifier.ts";
import type { Guard, Message, Prompt, Verdict } from "../pipeline/guard.ts";
import { ask, each } from "./ask.ts";

export const lengthGuard = "length";

/** More a token has no text that people write: what is longer is not even counted. */
const tokenChars = 8;

/**
 * Input gate: what is too long to be judged in time is refused. `tokensMax`: of all messages together, counted as the classifiers count, since that is what
 * they take time for: a line of random letters has ten times the tokens of a line of words.
 */
export function lengthOfPrompt(tokenCount: TokenCount, { tokensMax }: { tokensMax: number }): Guard<Prompt> {
  const verdictOn = (messages: readonly Message[], sizes: readonly number[], max: number): Verdict<Prompt> => {
    let left = max;
    const tooLong = messages.find((_, at) => {
      left -= sizes[at] ?? 0;
      return left < 0;
    });
    if (tooLong === undefined) return { action: "pass", findings: [] };
    const { origin, passage, index: message } = tooLong;
    const span = { start: 0, end: passage.text.length };
    const finding = { guard: lengthGuard, label: "LENGTH", score: 1, threshold: 1, span, message, origin, action: "block" as const };
    return { action: "block", code: "too_long_to_judge", findings: [finding] };
  };
  return {
    name: lengthGuard,
    alone: true,
    async inspect({ messages }, asking) {
      const chars = messages.map(({ passage }) => passage.text.length);
      const byChars = verdictOn(messages, chars, tokensMax * tokenChars);
      if (byChars.action === "block") return byChars;
      const tokens = await each(messages, ({ passage }) => ask(tokenCount, passage.text, asking));
      return verdictOn(messages, tokens, tokensMax);
    },
  };
}
