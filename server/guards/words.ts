import type { Wait } from "../pipeline/segment.ts";
import { acting, apart, type Detection, type Detector } from "./detector.ts";

/** An operator's own words: what a text may not speak of. */
export interface Topic {
  readonly label: string;
  /** Words and phrases, in any letter case, with any white space between words, accents as one character or as two. */
  readonly words: readonly string[];
  readonly action: "block" | "mask" | "shadow";
}

/** Finds the words of topics, whole words only. */
export function topicWords(all: readonly Topic[]): Detector {
  const topics = all.filter(({ words }) => words.length > 0);
  const expressions = topics.map(
    ({ words }) => new RegExp(`(?<![\\p{L}\\p{N}])(?:${words.map(expressionOf).join("|")})(?![\\p{L}\\p{N}])`, "giu"),
  );
  return (text) => {
    const found = topics.flatMap(({ label, action }, index) =>
      [...text.matchAll(expressions[index] ?? /(?!)/gu)].map((match): Detection => {
        const span = { start: match.index, end: match.index + match[0].length };
        return { label, span, action: acting[action], replacement: `[${label}]` };
      }),
    );
    return apart(found);
  };
}

/** Holds back an end of the text that may become one of the words, and one that is whole until the character after it is known. */
export function waitForWords(topics: readonly Topic[]): Wait {
  const words = topics.flatMap((topic) => topic.words.map(plain));
  const longest = Math.max(0, ...words.map((word) => word.length));
  return (text) => {
    // White space between two words may be long; more of it than this is no phrase.
    const from = Math.max(0, text.length - 2 * longest - 16);
    for (const { index } of text.slice(from).matchAll(/(?<![\p{L}\p{N}])\S/gu)) {
      const end = plain(text.slice(from + index));
      if (words.some((word) => word.startsWith(end))) return from + index;
    }
    return text.length;
  };
}

function plain(text: string): string {
  return text.toLowerCase().normalize("NFD").replaceAll(/\s+/gu, " ");
}

function expressionOf(words: string): string {
  return words
    .normalize("NFC")
    .split(/\s+/u)
    .map((word) => Array.from(word, eitherForm).join(""))
    .join("\\s+");
}

function eitherForm(char: string): string {
  const apart = char.normalize("NFD");
  return apart === char ? RegExp.escape(char) : `(?:${char}|${apart})`;
}
