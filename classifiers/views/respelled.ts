import { type Edit, editsOf } from "./mapped.ts";

/** Letters that stand alone, with one and the same sign between each two: `i g n o r e`, `i-g-n-o-r-e`. */
const spacedOut =
  /(?<![\p{L}\p{N}])[\p{L}\d@$!](?:([ .\-_*|/~+,\u00b7\u2022])\1{0,2}[\p{L}\d@$!](?![\p{L}\p{N}])){4,}(?:\s{2,}[\p{L}\d@$!](?:\1[\p{L}\d@$!](?![\p{L}\p{N}]))*)*/gu;

/** What may be a word in which digits and signs stand for letters. */
const leetWord = /(?<![\p{L}\p{N}])[a-z0-9@$!|+]{3,24}(?![\p{L}\p{N}])/giu;
const leetLetters: Readonly<Record<string, string>> = {
  0: "o",
  1: "i",
  3: "e",
  4: "a",
  5: "s",
  7: "t",
  8: "b",
  "@": "a",
  $: "s",
  "!": "i",
  "|": "l",
  "+": "t",
};
const leetWordsMin = 3;
const leetShareMin = 0.2;

/** Puts spaced-out words together again. */
export function spacedEdits(text: string): Edit[] {
  return editsOf(text, spacedOut, ([run]) =>
    run
      .split(/\s{2,}/u)
      .map((word) => word.replaceAll(/[^\p{L}\p{N}@$!]/gu, ""))
      .join(" "),
  );
}

/** Writes digits and signs inside words as the letters they look like, in a text that has many such words: order numbers and versions stay. */
export function leetEdits(text: string): Edit[] {
  const edits = editsOf(text, leetWord, ([word]) => {
    const signs = word.match(/[0134578@$|+]|!(?=[a-z])/giu)?.length ?? 0;
    const letters = word.match(/[a-z]/giu)?.length ?? 0;
    if (signs === 0 || letters < signs || /\d{3,}|^\d+[a-z]{1,2}$|^[A-Z]+\d+$|[a-z].*[A-Z]/u.test(word)) return undefined;
    return word.replaceAll(/[0134578@$|+]|!(?=[a-z])/giu, (sign) => leetLetters[sign] ?? sign);
  });
  const words = text.match(/[\p{L}\p{N}@$!]{2,}/gu)?.length ?? 0;
  return edits.length >= leetWordsMin && edits.length >= leetShareMin * words ? edits : [];
}
