import { pemCharsMax } from "./credentials.ts";
import { fold } from "./fold.ts";
import { openIbanFrom } from "./iban.ts";
import { findInFolded } from "./patterns.ts";
import { wordChars } from "./word.ts";

/** Longest piece without a space that a pattern takes, but for JSON Web Tokens. */
const wordCharsMax = 512;
const wordChar = new RegExp(`[${wordChars}]`, "u");
const tokenCharsMax = 8_192;

/** Longest card number as people write it: 19 digits, three separators between each. */
const numberCharsMax = 80;

/** From which index on the end of `text` must wait, because with more text it may become part of personal data. Nothing found is cut in two. */
export function openFrom(text: string): number {
  const folded = fold(text);
  const open = openInFolded(folded.text);
  // What is not seen at the end may stand inside the next value.
  return open < folded.text.length ? folded.at(open) : folded.text === "" ? 0 : folded.endAt(open - 1);
}

function openInFolded(text: string): number {
  // Whether a number goes on into the last word shows when that word is whole.
  const number = openNumberFrom(text.slice(0, wordStart(text, text.length)));
  const cut = wordStart(text, Math.min(number, openNumberFrom(text), openIbanFrom(text), openPemFrom(text)));
  const across = findInFolded(text).find((one) => one.start < cut && one.end > cut);
  return across === undefined ? cut : across.start;
}

/** Where the word begins that goes on at `end`: it may be a key, an address or a password. Scripts without spaces between words don't wait. */
function wordStart(text: string, end: number): number {
  const longest = text.slice(Math.max(0, end - tokenCharsMax), end).includes("eyJ") ? tokenCharsMax : wordCharsMax;
  const from = Math.max(0, end - longest);
  let at = end;
  while (at > from && wordChar.test(text.charAt(at - 1))) at -= 1;
  return at;
}

/** Groups of digits at the end, with what may stand between them, line ends and emphasis too. */
function openNumberFrom(text: string): number {
  const from = Math.max(0, text.length - numberCharsMax);
  let at = text.length;
  while (at > from && /[\d ().\-–—/+*\r\n]/u.test(text.charAt(at - 1))) at -= 1;
  const digit = text.slice(at).search(/[+(]{0,2}\d/u);
  return digit === -1 ? text.length : at + digit;
}

/** A private key whose end line has not come, or a line that may begin one. */
function openPemFrom(text: string): number {
  const from = Math.max(0, text.length - pemCharsMax);
  const begin = text.lastIndexOf("-----BEGIN ");
  if (begin < from) return text.length;
  const after = text.slice(begin);
  const mayBeKey = /^-----BEGIN [A-Z0-9 ]{0,64}(?:-{0,5}$|-----)/u.test(after) && (after.length < 80 || after.includes("PRIVATE KEY"));
  return mayBeKey && !/-----END [A-Z0-9 ]{0,64}-----/u.test(after) ? begin : text.length;
}
