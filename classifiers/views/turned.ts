import type { Edit } from "./mapped.ts";

/** Words that any text in these languages is full of, and those of orders to a model. */
const common = new Set(
  `the and you your for with this that from have are not all now will can any but what how who was one our out about into them then only just when which
  ignore previous instructions instruction system prompt reveal print show tell rules answer forget disregard override password secret assistant user
  les des une vous est pas que pour dans avec die das und ist nicht ein eine mit auf den los las una por para con del como che non per sono della
  to of in is it me my do no so we be as at by or if on an up us`.split(/\s+/u),
);

/** A stretch of words: letters, spaces and the signs between them. */
const stretches = /\p{L}[\p{L}\p{M}' ,.;:!?()"\-\n]{10,}[\p{L}.!?]/gu;

const clauses = /[^.;:!?()"\n]+[.;:!?()"\n]*/gu;

function isStrange(text: string): boolean {
  const { words, known } = wordsOf(text);
  return known.length < 0.15 * words.length || words.length === 0;
}

/** `red` and `per` turned round are words, too: one word alone, however often, is no text. */
function isText(text: string): boolean {
  const { words, known } = wordsOf(text);
  return words.length >= 3 && known.length >= 0.35 * words.length && new Set(known).size > 1;
}

/** The words of a text, and which of them are common. */
function wordsOf(text: string): { words: string[]; known: string[] } {
  const words = text.toLowerCase().match(/\p{L}{2,}/gu) ?? [];
  return { words, known: words.filter((word) => common.has(word)) };
}

/** So much of a text tells how it is turned. */
const sampleChars = 20_000;

const turns: readonly ((text: string) => string)[] = [
  (text) => text.replaceAll(/[a-z]/giu, (char) => shifted(char, 13)),
  (text) => [...text].toReversed().join(""),
  (text) => text.replaceAll(/\p{L}+/gu, (word) => [...word].toReversed().join("")),
  (text) => text.replaceAll(/[a-z]/giu, (char) => mirrored(char)),
];

/** What reads as a text only when each letter is thirteen further (rot13), mirrored (atbash), or the order of letters is turned round. */
export function turnedEdits(text: string): Edit[] {
  const edits: Edit[] = [];
  for (const { index, 0: stretch } of text.matchAll(stretches)) {
    for (const { start, end } of strangeParts(stretch)) {
      const part = stretch.slice(start, end);
      const sample = part.slice(0, sampleChars);
      const turn = turns.find((one) => isText(one(sample)));
      if (turn !== undefined) edits.push({ start: index + start, end: index + end, replacement: turn(part) });
    }
  }
  return edits;
}

/** The clauses of a stretch that do not read as a text as they stand, those side by side as one: an introduction does not speak for what it introduces. */
function strangeParts(stretch: string): { start: number; end: number }[] {
  const parts: { start: number; end: number }[] = [];
  for (const { index, 0: clause } of stretch.matchAll(clauses)) {
    const end = index + clause.length;
    const last = parts.at(-1);
    if (!isStrange(clause.slice(0, sampleChars))) continue;
    if (last?.end === index) last.end = end;
    else parts.push({ start: index, end });
  }
  return parts;
}

function shifted(char: string, by: number): string {
  const base = char < "a" ? 65 : 97;
  return String.fromCharCode(base + ((char.charCodeAt(0) - base + by) % 26));
}

function mirrored(char: string): string {
  const base = char < "a" ? 65 : 97;
  return String.fromCharCode(base + 25 - (char.charCodeAt(0) - base));
}
