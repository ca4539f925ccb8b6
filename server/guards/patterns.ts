import { RE2JS } from "re2js";
import { fold } from "../../classifiers/classifier.ts";
import type { Segment, SegmentGuard } from "../pipeline/guard.ts";
import { joined } from "../pipeline/passage.ts";
import { sentencesOf } from "../pipeline/segment.ts";
import { acting, apart, type Detection, type Detector, segmentGuard } from "./detector.ts";

/** What an operator's topic looks for beside its words. */
export interface PatternTopic {
  readonly label: string;
  /** Regular expressions of RE2, in any letter case: no back-references, no look-around, and so linear time. */
  readonly patterns: readonly string[];
  readonly action: "block" | "mask" | "shadow";
}

/** What is wrong with a pattern, as the end of a sentence; undefined when nothing is. */
export function wrongWith(pattern: string): string | undefined {
  try {
    return compiled(pattern).test("") ? "matches the empty text, and so every text" : undefined;
  } catch (error) {
    return `is no pattern of RE2: ${(error as Error).message}`;
  }
}

/** Finds what patterns match within two sentences; a search is as long as they are, so that no text takes more than linear time. */
export function topicPatterns(topics: readonly PatternTopic[]): Detector {
  const look = lookFor(topics);
  return (text) => {
    const sentences = sentencesOf(text);
    const pairs =
      sentences.length < 2 ? sentences : sentences.slice(1).map(({ end }, index) => ({ start: sentences[index]?.start ?? 0, end }));
    return apart(pairs.flatMap((piece) => look(text, piece)));
  };
}

/** Output gate: an answer leaves sentence by sentence, and a match lies within one. `shadow` alone looks at the finished answer, and holds nothing back. */
export function patternsInAnswer(topics: readonly PatternTopic[]): SegmentGuard {
  const look = lookFor(topics);
  const shadow = topics.every(({ action }) => action === "shadow");
  const guard = segmentGuard(
    "topics",
    "topic",
    (text) => apart(sentencesOf(text).flatMap((piece) => look(text, piece))),
    (text) => text.length,
  );
  const alone = ({ passage, ...segment }: Segment): Segment => ({ ...segment, passage, before: "", ahead: "" });
  return {
    ...guard,
    bySentence: !shadow,
    inspect(segment, asking) {
      if (!shadow) return guard.inspect(alone(segment), asking);
      if (!segment.last) return { action: "pass", findings: [] };
      const { released, passage } = segment;
      return guard.inspect(alone({ ...segment, passage: joined([released, passage], "") }), asking);
    },
  };
}

function compiled(pattern: string): RE2JS {
  return RE2JS.compile(pattern, RE2JS.CASE_INSENSITIVE);
}

type Look = (text: string, piece: { readonly start: number; readonly end: number }) => Detection[];

function lookFor(topics: readonly PatternTopic[]): Look {
  const all = topics.flatMap(({ label, action, patterns }) =>
    patterns.map((pattern) => ({ label, action, expression: compiled(pattern) })),
  );
  return (text, { start, end }) => {
    const piece = text.slice(start, end);
    const folded = fold(piece);
    const asItStands = { text: piece, at: (index: number) => index, endAt: (index: number) => index + 1 };
    // A pattern may look for what folding takes away.
    const readings = folded.text === piece ? [folded] : [asItStands, folded];
    return readings.flatMap((reading) =>
      all.flatMap(({ label, action, expression }) => {
        const found: Detection[] = [];
        const matcher = expression.matcher(reading.text);
        while (matcher.find()) {
          if (matcher.end() === matcher.start()) continue;
          const span = { start: start + reading.at(matcher.start()), end: start + reading.endAt(matcher.end() - 1) };
          found.push({ label, span, action: acting[action], replacement: `[${label}]` });
        }
        return found;
      }),
    );
  };
}
