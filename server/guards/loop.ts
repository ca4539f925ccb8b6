import type { Finding } from "../pipeline/finding.ts";
import type { SegmentGuard } from "../pipeline/guard.ts";
import { joined, slice, spanInOriginal } from "../pipeline/passage.ts";

/** Longest piece whose repetition is looked for, in characters: a paragraph. */
const periodMax = 600;

/** A loop is at least this long, whatever its piece: lines of dashes and columns of zeros are none. */
const loopCharsMin = 400;

/** Output gate: an answer that says one piece over and over, more than `repeatsMax` times, ends. Only its end is looked at. */
export function loopInAnswer({ repeatsMax }: { repeatsMax: number }): SegmentGuard {
  return {
    name: "repetition",
    wait: (text) => text.length,
    inspect({ released, passage }) {
      const judged = joined([slice(released, Math.max(0, released.text.length - periodMax * (repeatsMax + 1))), passage], "");
      const length = loopAtEnd(judged.text, repeatsMax);
      if (length === undefined) return { action: "pass", findings: [] };
      const end = judged.text.length;
      const span = spanInOriginal(judged, { start: end - length, end });
      const finding: Finding = { guard: "repetition", label: "REPETITION", score: 1, threshold: 1, span, action: "block" };
      return { action: "block", code: "repetition", findings: [finding] };
    },
  };
}

/** Length of the loop that `text` ends with. */
function loopAtEnd(text: string, repeatsMax: number): number | undefined {
  for (let period = 1; period <= periodMax; period += 1) {
    const length = Math.max(loopCharsMin, period * (repeatsMax + 1));
    if (length > text.length) continue;
    let at = text.length - 1;
    while (at >= text.length - length + period && text[at] === text[at - period]) at -= 1;
    if (at < text.length - length + period && /\p{L}/u.test(text.slice(-period))) return length;
  }
  return undefined;
}
