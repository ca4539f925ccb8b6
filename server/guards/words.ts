import { fold } from "../../classifiers/classifier.ts";
import type { Wait } from "../pipeline/segment.ts";
import { acting, apart, type Detection, type Detector } from "./detector.ts";

/** An operator's own words: what a text may not speak of. */
export interface Topic {
  readonly label: string;
  /** Words and phrases, in any letter case, with any white space, hyphens, marks or tags between words, accents as one character or as two. */
  readonly words: readonly string[];
  readonly action: "block" | "mask" | "shadow";
}

const tag = "</?[a-z][^<>]{0,60}";
/** What may stand between two words, in a folded text. */
const between = `(?:[\\s\\\\*_~\`-]|${tag}>)+`;
/** Tags, entities and escapes that have not ended yet. */
const unended = new RegExp(`(?:${tag}|</?|&#?\\w{0,8}|\\\\u?[\\da-f]{0,3})$`, "iu");

/** Finds the words of topics, whole words only. */
export function topicWords(all: readonly Topic[]): Detector {
  const topics = all.filter(({ words }) => words.length > 0);
  const expressions = topics.map(
    ({ words }) => new RegExp(`(?<![\\p{L}\\p{N}])(?:${words.map(expressionOf).join("|")})(?![\\p{L}\\p{N}])`, "giu"),
  );
  return (text) => {
    const folded = fold(text);
    const found = topics.flatMap(({ label, action }, index) =>
      [...folded.text.matchAll(expressions[index] ?? /(?!)/gu)].map((match): Detection => {
        const span = { start: folded.at(match.index), end: folded.endAt(match.index + match[0].length - 1) };
        return { label, span, action: acting[action], replacement: `[${label}]` };
      }),
    );
    return apart(found);
  };
}

/** Holds back an end of the text that may become one of the words, and one that is whole until the character after it is known. */
export function waitForWords(topics: readonly Topic[]): Wait {
  const words = topics.flatMap((topic) => topic.words.map((word) => plain(fold(word).text)));
  const longest = Math.max(0, ...words.map((word) => word.length));
  return (text) => {
    // What stands between two words may be long; more of it than this is no phrase.
    const from = Math.max(0, text.length - writtenCharsMax * longest - betweenCharsMax);
    const folded = fold(text.slice(from));
    for (const { index } of folded.text.matchAll(/(?<![\p{L}\p{N}])\S/gu)) {
      const end = plain(folded.text.slice(index).replace(unended, ""));
      if (end !== "" && words.some((word) => word.startsWith(end))) return from + folded.at(index);
    }
    return text.length;
  };
}

/** In characters of the text as it came. */
const betweenCharsMax = 128;
/** Of one letter, as HTML and JSON write it. */
const writtenCharsMax = 6;

function plain(text: string): string {
  return text.toLowerCase().normalize("NFD").replaceAll(separators, " ");
}

const separators = new RegExp(between, "giu");

function expressionOf(words: string): string {
  return fold(words)
    .text.normalize("NFC")
    .split(/\s+/u)
    .map((word) => Array.from(word, eitherForm).join(""))
    .join(between);
}

function eitherForm(char: string): string {
  const apart = char.normalize("NFD");
  return apart === char ? RegExp.escape(char) : `(?:${char}|${apart})`;
}
