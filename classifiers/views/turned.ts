import { type Edit, editsOf } from "./mapped.ts";

/** Words that any text in these languages is full of, and those of orders to a model. */
const common = new Set(
  `the and you your for with this that from have are not all now will can any but what how who was one our out about into them then only just when which
  ignore previous instructions instruction system prompt reveal print show tell rules answer forget disregard override password secret assistant user
  les des une vous est pas que pour dans avec die der das und ist nicht ein eine mit auf den los las una por para con del como che non per sono della
  to of in is it me my do no so we be as at by or if on an up us`.split(/\s+/u),
);

/** A stretch of words: letters, spaces and the signs between them. */
const stretches = /\p{L}[\p{L}\p{M}' ,.;:!?()"\-\n]{10,}[\p{L}.!?]/gu;

/** Of the words of a text, the share that is common; 0 when there are too few to tell. */
function commonShare(text: string): number {
  const words = text.toLowerCase().match(/\p{L}{2,}/gu) ?? [];
  return words.length < 3 ? 0 : words.filter((word) => common.has(word)).length / words.length;
}

/** So much of a stretch tells how it is turned. */
const sampleChars = 20_000;

const turns: readonly ((text: string) => string)[] = [
  (text) => text.replaceAll(/[a-z]/giu, (char) => shifted(char, 13)),
  (text) => [...text].toReversed().join(""),
  (text) => text.replaceAll(/\p{L}+/gu, (word) => [...word].toReversed().join("")),
  (text) => text.replaceAll(/[a-z]/giu, (char) => mirrored(char)),
];

/** Stretches that read as a text only when each letter is thirteen further (rot13), mirrored (atbash), or the order of letters is turned round. */
export function turnedEdits(text: string): Edit[] {
  return editsOf(text, stretches, ([stretch]) => {
    const sample = stretch.slice(0, sampleChars);
    if (commonShare(sample) >= 0.15) return undefined;
    return turns.find((turn) => commonShare(turn(sample)) >= 0.35)?.(stretch);
  });
}

function shifted(char: string, by: number): string {
  const base = char < "a" ? 65 : 97;
  return String.fromCharCode(base + ((char.charCodeAt(0) - base + by) % 26));
}

function mirrored(char: string): string {
  const base = char < "a" ? 65 : 97;
  return String.fromCharCode(base + 25 - (char.charCodeAt(0) - base));
}
