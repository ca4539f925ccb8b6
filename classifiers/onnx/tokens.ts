import { readFileSync } from "node:fs";
import { Tokenizer } from "@huggingface/tokenizers";

/** Tokens of a text, without the ones that stand for its beginning and end. Every array has one number a token. */
export interface Tokens {
  readonly ids: Int32Array;
  /** Of the token's word: none, lower, Capital, UPPER, miXed, with digits (0 to 5), as the training counts them. */
  readonly cases: Uint8Array;
  /** Where the token's word begins in the text, in UTF-16 code units. Pieces of one word have one beginning. */
  readonly starts: Int32Array;
  /** Where it ends, exclusive. */
  readonly ends: Int32Array;
}

/**
 * A Han character is a word; another word is at most 64 letters, digits, marks and characters that are not seen; every other sign is one by
 * itself. The same expression cuts the training's texts (`training/words.py`).
 */
const word = /\p{Script=Han}|[[\p{L}\p{N}\p{M}\p{Cf}_]--\p{Script=Han}]{1,64}|[^\p{L}\p{N}\p{M}\p{Cf}_\s]/gv;

const wordsKeptMax = 100_000;

/** Words first, so that every token knows where it stands, then the pieces of each. */
export class Tokeniser {
  readonly #tokenizer: Tokenizer;
  readonly #unknown: number;
  readonly #pieces = new Map<string, readonly number[]>();

  /** @param folder holds `tokenizer.json` and `tokenizer_config.json`. */
  constructor(folder: URL) {
    const read = (name: string): object => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
    this.#tokenizer = new Tokenizer(read("tokenizer.json"), read("tokenizer_config.json"));
    const unknown = this.#tokenizer.token_to_id("[UNK]");
    if (unknown === undefined) throw new Error(`The tokenizer in ${folder} has no [UNK].`);
    this.#unknown = unknown;
  }

  tokensOf(text: string): Tokens {
    const ids: number[] = [];
    const cases: number[] = [];
    const starts: number[] = [];
    const ends: number[] = [];
    for (const { index, 0: found } of text.matchAll(word)) {
      const pieces = this.#piecesOf(found);
      const letterCase = pieces.length === 0 ? 0 : caseOf(found);
      for (const piece of pieces) {
        ids.push(piece);
        cases.push(letterCase);
        starts.push(index);
        ends.push(index + found.length);
      }
    }
    return { ids: Int32Array.from(ids), cases: Uint8Array.from(cases), starts: Int32Array.from(starts), ends: Int32Array.from(ends) };
  }

  /** One character that the vocabulary lacks makes the whole word unknown to WordPiece: then its ASCII letters and digits are read without the rest. */
  #piecesOf(found: string): readonly number[] {
    const known = this.#pieces.get(found);
    if (known !== undefined) return known;
    const encoded = (one: string): number[] => this.#tokenizer.encode(one, { add_special_tokens: false }).ids;
    const whole = encoded(found);
    const plain = whole.includes(this.#unknown) ? found.normalize("NFD").replaceAll(/\P{ASCII}/gu, "") : "";
    const pieces = /[a-z\d]/iu.test(plain) ? encoded(plain) : whole;
    if (this.#pieces.size >= wordsKeptMax) this.#pieces.clear();
    // To V8 a match of 13 characters or more is a slice, which keeps the whole text that it was cut from; this is one of a copy of the word.
    this.#pieces.set(` ${found}`.slice(1), pieces);
    return pieces;
  }
}

function caseOf(found: string): number {
  if (/\p{Nd}/u.test(found)) return 5;
  const letters = found.match(/\p{L}/gu) ?? [];
  const upper = letters.filter((letter) => /\p{Lu}/u.test(letter)).length;
  if (letters.length === 0) return 0;
  if (upper === 0) return 1;
  if (upper === letters.length) return letters.length > 1 ? 3 : 2;
  return upper === 1 && /^\p{Lu}/u.test(found) ? 2 : 4;
}
