import { type Edit, editsOf } from "./mapped.ts";

/** Letters that stand alone, with one and the same sign between each two: `i g n o r e`, `i-g-n-o-r-e`. */
const spacedOut =
  /(?<![\p{L}\p{N}])[\p{L}\d@$!](?:([ .\-_*|/~+,\u00b7\u2022])\1{0,2}[\p{L}\d@$!](?![\p{L}\p{N}])){4,}(?:\s{2,}[\p{L}\d@$!](?:\1[\p{L}\d@$!](?![\p{L}\p{N}]))*)*/gu;

/** What may be a word in which digits and signs stand for letters. */
const leetWord = /(?<![\p{L}\p{N}])[a-z0-9@$€!|+]{2,24}(?![\p{L}\p{N}])/giu;
const leetSign = /[01345679@$€|+]|!(?=[a-z0-9])/giu;
const leetLetters: Readonly<Record<string, string>> = {
  0: "o",
  1: "i",
  3: "e",
  4: "a",
  5: "s",
  6: "g",
  7: "t",
  9: "g",
  "@": "a",
  $: "s",
  "€": "e",
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
  const sure = text.match(leetWord)?.filter(isSurelyLeet).length ?? 0;
  const words = text.match(/[\p{L}\p{N}@$!]{2,}/gu)?.length ?? 0;
  if (sure < leetWordsMin || sure < leetShareMin * words) return [];
  return editsOf(text, leetWord, ([word]) => {
    const isNumber = !/[a-z]/iu.test(word) && !/[@$€!|]/u.test(word);
    return isNumber ? undefined : word.replaceAll(leetSign, (sign) => leetLetters[sign] ?? sign);
  });
}

function isSurelyLeet(word: string): boolean {
  const signs = word.match(leetSign)?.length ?? 0;
  const letters = word.match(/[a-z]/giu)?.length ?? 0;
  return signs > 0 && letters >= signs && word.length >= 3 && !/\d{3,}|^\d+[a-z]{1,2}$|^[A-Za-z]+\d+$|[a-z].*[A-Z]/u.test(word);
}
