import type { Detector } from "./detector.ts";

/** Longest piece whose repetition is looked for, in characters: a token or a short phrase. */
const periodMax = 32;

/** Lines of dashes, dots and zeros are what people draw with: they may be this many times longer. */
const letterlessFactor = 20;

/** More than `repeatsMax` repetitions of one piece in a row block. One pass over the text for each length of a piece. */
export function repetition({ repeatsMax }: { repeatsMax: number }): Detector {
  return (text) => {
    for (let period = 1; period <= periodMax; period += 1) {
      const span = repeatedSpan(text, period, repeatsMax);
      if (span !== undefined) return [{ label: "REPETITION", span, action: "block", replacement: "" }];
    }
    return [];
  };
}

function repeatedSpan(text: string, period: number, repeatsMax: number): { start: number; end: number } | undefined {
  let same = 0;
  for (let at = period; at <= text.length; at += 1) {
    if (at < text.length && text.charCodeAt(at) === text.charCodeAt(at - period)) {
      same += 1;
      continue;
    }
    const repeats = Math.floor(same / period) + 1;
    if (repeats > repeatsMax) {
      const start = at - same - period;
      const lettered = /[\p{L}\p{M}]/u.test(text.slice(start, start + period));
      if (lettered || repeats > repeatsMax * letterlessFactor) return { start, end: at };
    }
    same = 0;
  }
  return undefined;
}
