import { type Edit, together } from "./mapped.ts";

/** Words that any text in these languages is full of, and those of orders to a model. */
const common = new Set(
  `the and you your for with this that from have are not all now will can any but what how who was one our out about into them then only just when which
  ignore previous instructions instruction system prompt reveal print show tell rules answer forget disregard override password secret assistant user
  les des une vous est pas que pour dans avec die das und ist nicht ein eine mit auf den los las una por para con del como che non per sono della
  to of in is it me my do no so we be as at by or if on an up us`.split(/\s+/u),
);

/**
 * How often one letter follows another in plain English, German, French, Spanish and Italian, in bits: 0 is once in 2^15 pairs or less, 9 once in 2^6. A row
 * for each first letter, a digit for each second, from a to z; before them the end of a word.
 */
const pairBits = `
  098898878956888887799778075 906660463624768151888663163 452007000500500600531400040 470407008605501700515500020 870038020700222700540500030
  964676554723769351987554544 750005500600300600514400000 750007035500405500533500000 771009000700323600525400020 854767563013769642688250303
  140004000000000400000400000 630006000400203300142200000 882258331702721720045531040 774007000600151650132400040 961688472614325701168532033
  934553643514678550866846231 570007103500600640634500010 100000000000000000000700000 973468242704455721566532052 961628005704333752168613030
  971318009700311810766604043 754547441510557350766020312 250007000500000600200200000 560006006600004500320000000 420101000200000030004000000
  821004000100110620042000000 530004000400000200002402001`
  .trim()
  .split(/\s+/u);

/** What ends a word, the letters, and all other letters, which say nothing. */
const codes = 28;

/** By which a stretch of letters reads better turned than as it stands, at least; and so much that speaks against it ends it. A word of six letters says 20. */
const bitsMin = 12;

/** So much each word must say before it counts: a few plain ones read a little better turned, too. */
const wordBits = 2;
/** What a common word says beside its letters. */
const commonBits = 3;

interface Turn {
  readonly turn: (text: string) => string;
  /** Common words as they look when they are turned. */
  readonly disguised: ReadonlySet<string>;
  /** How many bits more likely each pair of letters is when it is turned: [codes, codes]. */
  readonly gains: Int8Array;
}

const turns: readonly Turn[] = [
  lettersBy(rotated),
  { turn: turnedRound, disguised: commonBy(round), gains: gainsBy((first, second) => [second, first]) },
  lettersBy(mirrored),
];

function lettersBy(turned: (code: number) => number): Turn {
  const turn = (text: string): string => text.replaceAll(/[a-z]/giu, (char) => lettered(char, turned));
  return { turn, disguised: commonBy(turn), gains: gainsBy((first, second) => [turned(first), turned(second)]) };
}

function commonBy(turn: (word: string) => string): ReadonlySet<string> {
  return new Set([...common].map(turn));
}

/**
 * What reads as a text only when each letter is thirteen further (rot13), mirrored (atbash), or the order of letters is turned round. Where it begins and
 * ends, the letters say: rare words have no other sign, and what was written plainly beside it stays.
 */
export function turnedEdits(text: string): Edit[] {
  const words = Array.from(text.matchAll(/\p{L}[\p{L}\p{M}]*/gu), ({ index, 0: word }) => ({ start: index, end: index + word.length }));
  return turns.reduce<Edit[]>((edits, turn) => {
    const found = stretches(text, words, turn).flatMap(({ start, end }) => {
      const stretch = text.slice(start, end);
      const replacement = turn.turn(stretch);
      return isBetter(replacement, stretch) ? [{ start, end, replacement }] : [];
    });
    return together(edits, found);
  }, []);
}

interface Stretch {
  readonly start: number;
  readonly end: number;
}

/** From a word where the gain begins to the one after which it falls by `bitsMin` (the X-drop of BLAST; Altschul et al. 1990). */
function stretches(text: string, words: readonly Stretch[], turn: Turn): Stretch[] {
  const found: Stretch[] = [];
  let [bits, best] = [0, 0];
  let [start, end] = [0, 0];
  const close = (): void => {
    if (best >= bitsMin) found.push({ start, end });
    bits = best = 0;
  };
  for (const word of words) {
    if (bits === 0) start = word.start;
    bits += gainOf(text.slice(word.start, word.end).toLowerCase(), turn);
    if (bits > best) {
      best = bits;
      end = word.end;
    } else if (bits <= Math.max(0, best - bitsMin)) close();
  }
  close();
  return found;
}

/** How much better a word reads turned, in bits. */
function gainOf(word: string, { gains, disguised }: Turn): number {
  let gain = (disguised.has(word) ? commonBits : 0) - (common.has(word) ? commonBits : 0) - wordBits;
  let last = 0;
  for (let at = 0; at < word.length; at += 1) {
    const unit = word.charCodeAt(at);
    const code = unit < 128 ? unit - 96 : codes - 1;
    gain += gains[last * codes + code] ?? 0;
    last = code;
  }
  return gain + (gains[last * codes] ?? 0);
}

function gainsBy(turned: (first: number, second: number) => readonly [number, number]): Int8Array {
  const bitsOf = (first: number, second: number): number => Number(pairBits[first]?.[second] ?? 0);
  return Int8Array.from({ length: codes * codes }, (_, index) => {
    const [first, second] = [Math.floor(index / codes), index % codes];
    return bitsOf(...turned(first, second)) - bitsOf(first, second);
  });
}

/** `red` and `per` turned round are words, too: one word alone, however often, is no text. */
function isBetter(turned: string, asItStands: string): boolean {
  const { words, known } = wordsOf(turned);
  return (
    words.length >= 3 && known.length >= 0.35 * words.length && known.length > wordsOf(asItStands).known.length && new Set(known).size > 1
  );
}

/** So much of a text tells how it is turned. */
const sampleChars = 20_000;

/** The words of a text, and which of them are common. */
function wordsOf(text: string): { words: string[]; known: string[] } {
  const words =
    text
      .slice(0, sampleChars)
      .toLowerCase()
      .match(/\p{L}{2,}/gu) ?? [];
  return { words, known: words.filter((word) => common.has(word)) };
}

function rotated(code: number): number {
  return code === 0 || code === codes - 1 ? code : ((code + 12) % 26) + 1;
}

function mirrored(code: number): number {
  return code === 0 || code === codes - 1 ? code : 27 - code;
}

function lettered(char: string, turned: (code: number) => number): string {
  const base = char < "a" ? 64 : 96;
  return String.fromCharCode(base + turned(char.charCodeAt(0) - base));
}

/** Each word where signs and capitals stand as in plain writing, else the whole. */
function turnedRound(text: string): string {
  const inOrder = /^\p{Ll}+\p{Lu}(?!\p{L})|\p{L}[,.;:!?]\s/u.test(text);
  return inOrder ? text.replaceAll(/\p{L}+/gu, round) : round(text);
}

function round(text: string): string {
  return [...text].toReversed().join("");
}
