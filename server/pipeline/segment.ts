import type { Segment } from "./guard.ts";
import { GrowingPassage, joined, type Passage, passage, type Span, slice } from "./passage.ts";

/**
 * From which index of `text` on it must wait, because with more text it may become part of something that is judged whole. `isCutHere`: the text went on, and
 * this wait has just cut it where it ends now.
 */
export type Wait = (text: string, isCutHere?: boolean) => number;

/** Released text that the guards still see, in characters. */
const beforeChars = 256;

/** Text longer than this never waits whole: what is held is bounded, whatever the waits say. */
const heldCharsMax = 1_000_000;

/** So often the waits are asked about one text. */
const roundsMax = 16;

/**
 * Where text waits to be judged. Cuts a stream of text into segments so that nothing a wait protects is ever released in part;
 * ends at the first of `stops`, a template's own end marks, known with the first text, which is not released. `bySentence`: each segment is one sentence, the same however the text was cut;
 * what is `whole` goes on behind the end of a sentence. The last segment may be empty.
 */
export async function* segment(
  texts: AsyncIterable<Passage>,
  waits: readonly Wait[],
  stops: () => readonly string[],
  { bySentence = false, whole = () => [] }: { bySentence?: boolean; whole?: (text: string) => readonly Span[] } = {},
): AsyncGenerator<Segment> {
  const released = new GrowingPassage();
  let next = passage("");
  let held = passage("");
  const release = (end: number, last: boolean): Segment => {
    released.add(next);
    next = slice(held, 0, end);
    const part = { released, before: released.text.slice(-beforeChars), passage: next, ahead: held.text.slice(end), last };
    held = slice(held, end);
    return part;
  };
  /** Where the next segment ends, within the first `open` characters that are held; 0 while it does not. */
  const endWithin = (open: number): number => {
    if (!bySentence) return open;
    const end = firstSentence(held.text) ?? 0;
    if (end > open) return 0;
    const value = whole(held.text).find((one) => one.start < end && one.end > end);
    return value === undefined ? end : value.end <= open ? value.end : 0;
  };
  for await (const text of texts) {
    held = joined([held, text], "");
    const stop = earliest(held.text, stops());
    if (stop !== undefined) {
      held = slice(held, 0, stop);
      break;
    }
    let open = held.text.length > heldCharsMax ? held.text.length : openFrom(held.text, [...waits, waitForWhole(stops())]);
    for (let end = endWithin(open); end > 0; end = endWithin(open)) {
      yield release(end, false);
      open -= end;
    }
  }
  for (;;) {
    const end = endWithin(held.text.length);
    if (end === 0 || end >= held.text.length) break;
    yield release(end, false);
  }
  yield release(held.text.length, true);
}

/**
 * From which index on `text` must wait: what one wait holds back must not cut in two what another protects, so all are asked until they agree. Where they do
 * not soon, as each cut lets another little begin, all of it waits.
 */
function openFrom(text: string, waits: readonly Wait[]): number {
  let open = text.length;
  let cuts: number[] = [];
  for (let round = 0; round < roundsMax; round += 1) {
    const before = text.slice(0, open);
    cuts = waits.map((wait, index) => wait(before, cuts[index] === open));
    const next = Math.min(open, ...cuts);
    if (next === open) return open;
    open = next;
  }
  return 0;
}

/** Holds back an end of the text that may be the beginning of one of `strings`. */
export function waitForWhole(strings: readonly string[]): Wait {
  const longest = Math.max(0, ...strings.map((one) => one.length));
  return (text) => {
    for (let at = Math.max(0, text.length - longest + 1); at < text.length; at += 1) {
      const end = text.slice(at);
      if (strings.some((one) => one.length > end.length && one.startsWith(end))) return at;
    }
    return text.length;
  };
}

/** Holds back everything: the answer is judged whole. */
export const waitForEnd: Wait = () => 0;

/** A sentence that is longer than so many characters is judged in pieces. */
const sentenceCharsMax = 320;
const sentenceEnd = /[.!?…]["'”’»)\]]*\s|[。！？\n]/u;

/** Where the first sentence of `text` ends; undefined while it has not. It depends on the text alone, not on the pieces in which it came. */
function firstSentence(text: string): number | undefined {
  const found = sentenceEnd.exec(text.slice(0, sentenceCharsMax));
  if (found !== null) return found.index + found[0].length;
  if (text.length <= sentenceCharsMax) return undefined;
  const space = text.lastIndexOf(" ", sentenceCharsMax - 1);
  return space <= 0 ? sentenceCharsMax : space + 1;
}

/** The sentences of a text, as an answer is cut into them. */
export function sentencesOf(text: string): Span[] {
  const spans: Span[] = [];
  for (let start = 0; start < text.length; ) {
    const end = start + (firstSentence(text.slice(start, start + sentenceCharsMax + 1)) ?? text.length - start);
    spans.push({ start, end });
    start = end;
  }
  return spans;
}

/** Where the first of `stops` begins. */
export function earliest(text: string, stops: readonly string[]): number | undefined {
  const found = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  return found.length === 0 ? undefined : Math.min(...found);
}
