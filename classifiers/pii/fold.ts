/** What is not seen and what only changes how its neighbour looks: default-ignorable and control characters, combining keycaps, half a character. Tab and line ends are seen. */
const unseen = /[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cs}]|\u20e3|(?![\t\n\r])\p{Cc}/gu;

const spaces = /[\t\u00a0\u2000-\u200a\u202f\u205f\u3000]/gu;
const hyphens = /[\u2010-\u2012\u2212\ufe58]/gu;
/** Full-width and small forms of ASCII, one code unit for one. */
const forms = /[\u2024\ufe50-\ufe57\ufe59-\ufe6b\uff01-\uff5e]/gu;
/** Digits of every script but ASCII's. */
const digits = /(?![0-9])\p{Nd}/gu;

/** Characters as HTML and JSON write them. What stands at the end of a text may still go on. */
const named: Readonly<Record<string, string>> = { nbsp: " ", commat: "@", period: ".", hyphen: "-", dash: "-", lowbar: "_", plus: "+" };
const one = `&(?:#(?:x([\\da-f]{1,6})(?![\\da-f]|$)|(\\d{1,7})(?!\\d|$));?|(${Object.keys(named).join("|")});)|\\\\u([\\da-f]{4})`;
const written = new RegExp(one, "giu");
const writtenHere = new RegExp(one, "iuy");
/** Marks of emphasis around groups of digits. */
const emphasis = /(?<=\d[ \u200b]{1,9})\*{1,3}(?=\d)|(?<=\d)\*{1,3}(?=[ \u200b]{1,9}\d)/gu;

/** A text as patterns look at it. */
export interface Folded {
  readonly text: string;
  /** Where the character at an index stood in the text itself. */
  at(index: number): number;
  /** Where it ended, exclusive. */
  endAt(index: number): number;
}

/** Takes out what hides a value from a pattern, and writes letters, digits, signs and spaces of other kinds in the ordinary way. */
export function fold(text: string): Folded {
  const plain = text
    // Of several code units all but the first become one that is taken out.
    .replace(written, (whole, hexadecimal, decimal, name, unit) => {
      const code = decimal === undefined ? Number.parseInt(hexadecimal ?? unit, 16) : Number(decimal);
      return (named[name?.toLowerCase()] ?? fromCode(code)).padEnd(whole.length, "\u200b");
    })
    .replace(spaces, " ")
    .replace(hyphens, "-")
    .replace(forms, (form) => form.normalize("NFKC"))
    .replace(digits, (digit) => digitOf(digit).padEnd(digit.length, "\u200b"))
    .replace(emphasis, (marks) => "\u200b".repeat(marks.length));
  let folded = "";
  let taken = 0;
  const gaps: { readonly from: number; readonly removed: number }[] = [];
  let removed = 0;
  for (const { index, 0: run } of plain.matchAll(unseen)) {
    folded += plain.slice(taken, index);
    taken = index + run.length;
    removed += run.length;
    gaps.push({ from: folded.length, removed });
  }
  const at = (index: number): number => index + removedBefore(gaps, index);
  const endAt = (index: number): number => at(index) + lengthAt(text, at(index));
  return { text: folded + plain.slice(taken), at, endAt };
}

/** Of the character that begins at an index, however it is written, in code units. */
function lengthAt(text: string, index: number): number {
  writtenHere.lastIndex = index;
  return writtenHere.exec(text)?.[0].length ?? ((text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1);
}

/** Nothing where it is none. */
function fromCode(code: number): string {
  return code <= 0x10ffff ? String.fromCodePoint(code) : "";
}

/** Unicode keeps the ten digits of a script together, zero first; mathematical ones stand five times ten together. */
function digitOf(digit: string): string {
  const plain = digit.normalize("NFKC");
  if (/[0-9]/u.test(plain)) return plain;
  const code = digit.codePointAt(0) ?? 0;
  let zero = code;
  while (code - zero < 9 && /\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero -= 1;
  return String(code - zero);
}

/** How many characters were taken out before the one at `index`. */
function removedBefore(gaps: readonly { readonly from: number; readonly removed: number }[], index: number): number {
  let low = 0;
  let high = gaps.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((gaps[middle]?.from ?? 0) <= index) low = middle + 1;
    else high = middle;
  }
  return gaps[low - 1]?.removed ?? 0;
}
