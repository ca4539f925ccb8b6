import type { Wait } from "../pipeline/segment.ts";
import type { Detection, Detector } from "./detector.ts";

/** What is not seen (Unicode UAX #44 `Default_Ignorable_Code_Point`), tags and variation selectors among it, and the marks of interlinear notes. */
const invisible = "[\\p{Default_Ignorable_Code_Point}\\ufff9-\\ufffb]";
const runs = new RegExp(`${invisible}+`, "gu");
const tags = /[\u{e0020}-\u{e007f}]/gu;

/** This many hidden characters in a row carry a message. */
const hiddenCharsMin = 8;

/** Tag blocks and long runs block; single invisible characters are removed; what emoji, flags and scripts that need joiners are made of stays. */
export function invisibleText(): Detector {
  return (text) => {
    const detections: Detection[] = [];
    for (const { index, 0: run } of text.matchAll(runs)) {
      const span = { start: index, end: index + run.length };
      const before = text.slice(Math.max(0, index - 16), index);
      const after = text.slice(span.end, span.end + 2);
      if (belongs(run, before, after)) continue;
      const hidesTags = (run.match(tags)?.length ?? 0) >= 2;
      const action = hidesTags || [...run].length >= hiddenCharsMin ? "block" : "rewrite";
      detections.push({ label: hidesTags ? "TAG_TEXT" : "INVISIBLE_TEXT", span, action, replacement: "" });
    }
    return detections;
  };
}

const pictograph = /[\p{Extended_Pictographic}\p{Emoji_Modifier}]$/u;
const joiningScripts =
  /[\p{Script=Arabic}\p{Script=Syriac}\p{Script=Nko}\p{Script=Mongolian}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Gurmukhi}\p{Script=Gujarati}\p{Script=Oriya}\p{Script=Tamil}\p{Script=Telugu}\p{Script=Kannada}\p{Script=Malayalam}\p{Script=Sinhala}\p{Script=Khmer}\p{Script=Tibetan}\p{Script=Myanmar}\u0640]$/u;
const rightToLeft = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

/** Whether a reader's text needs these characters here. */
function belongs(run: string, before: string, after: string): boolean {
  if (/^[\ufe0e\ufe0f]$/u.test(run)) {
    return /[\p{Extended_Pictographic}\p{S}]$/u.test(before) || (/[0-9#*]$/u.test(before) && after.startsWith("\u20e3"));
  }
  if (/^\ufe0f?\u200d$/u.test(run)) {
    if (pictograph.test(before) && /^\p{Extended_Pictographic}/u.test(after)) return true;
  }
  if (/^[\u200c\u200d]$/u.test(run)) return joiningScripts.test(before);
  if (/^[\u200e\u200f\u061c\u2066-\u2069]{1,2}$/u.test(run)) return rightToLeft.test(before) || rightToLeft.test(after);
  if (/^[\u180b-\u180d\u180f]$/u.test(run)) return /\p{Script=Mongolian}$/u.test(before);
  if (/^[\u{e0100}-\u{e01ef}]$/u.test(run)) return /\p{Script=Han}$/u.test(before);
  // The flags of England, Scotland, Wales, Texas: a black flag, tags, and the tag that ends them.
  return before.endsWith("\u{1f3f4}") && /^[\u{e0030}-\u{e0039}\u{e0061}-\u{e007a}]{3,6}\u{e007f}$/u.test(run);
}

const openChars = 64;
const openEnd = new RegExp(`(?:${invisible}|(?![\\t\\n])\\p{Cc}|[\\ud800-\\udbff])+$`, "u");

/** A run of invisible or control characters is judged whole, with the character after it; a surrogate pair is never cut. */
export const openSequence: Wait = (text) => {
  const from = Math.max(0, text.length - openChars);
  const open = openEnd.exec(text.slice(from));
  return open === null ? text.length : from + open.index;
};
