const alphabet = "abcdefghjkmnpqrstuvwxyz23456789";
const nonceChars = 6;

export function nonceOf(digest: Uint8Array): string {
  return [...digest.subarray(0, nonceChars)].map((byte) => alphabet[byte % alphabet.length]).join("");
}

export function placeholderOf(label: string, number: number | string, nonce: string): string {
  return `<${label}_${number}_${nonce}>`;
}

const form = `[A-Z_]{1,40}_\\d{1,6}_[${alphabet}]{${nonceChars}}`;
const one = new RegExp(`^<?${form}>?$`, "u");
const every = new RegExp(`<${form}>`, "gu");

/** Whether a text is a placeholder, of whatever conversation, with its brackets or without. */
export function isPlaceholder(text: string): boolean {
  return one.test(text);
}

export function withoutPlaceholders(text: string): string {
  return text.replaceAll(every, "");
}

/** In pieces, of which each may be the last that has come: what a model makes of `_`, of a label, and of what stands behind it. */
const separator = ["\\\\?", "[_ -]"];
const labelled = (label: string): string[] => [...label].flatMap((char) => (char === "_" ? separator : char));
const numbered = (nonce: string): string[] => [...separator, "(\\d{1,6})", ...separator, ...nonce];

export interface Rewritten {
  readonly start: number;
  readonly end: number;
  readonly placeholder: string;
}

/** Placeholders as a model writes them: in another letter case, without their brackets, or with signs escaped. */
export function rewrittenIn(text: string, labels: readonly string[], nonce: string): Rewritten[] {
  const written = `(${labels.map((label) => labelled(label).join("")).join("|")})${numbered(nonce).join("")}`;
  const all = new RegExp(`(?:\\\\?<|&lt;)?(?<![\\p{L}\\p{N}])${written}(?![\\p{L}\\p{N}])(?:\\\\?>|&gt;)?`, "giu");
  return [...text.matchAll(all)].map(({ 0: whole, 1: label = "", 2: number = "", index: start }) => ({
    start,
    end: start + whole.length,
    placeholder: placeholderOf(label.toUpperCase().replaceAll(/\\?[_ -]/gu, "_"), number, nonce),
  }));
}

/** Longest one that is waited for. */
const charsMax = 96;

/** Longest name of a host. */
export const hostCharsMax = 253;

/** Where the end of a text begins that may be the beginning of one; a whole one waits for the end of what may be a host with it, also with escapes and entities. */
export function waitForRewritten(labels: readonly string[], nonce: string): (text: string) => number {
  const behind = `(?:\\\\?>|&gt;)?[\\p{L}\\p{N}_.:\\\\&#;-]{0,${hostCharsMax}}`;
  const begun = labels.map((label) =>
    [...labelled(label), ...numbered(nonce), behind].reduceRight((rest, piece) => `${piece}(?:${rest})?`, ""),
  );
  const open = new RegExp(`(?:(?:\\\\?<|&lt;|(?<![\\p{L}\\p{N}]))(?:${begun.join("|")})?|\\\\|&(?:lt?)?)$`, "iu");
  return (text) => {
    const from = Math.max(0, text.length - charsMax - hostCharsMax);
    return from + (open.exec(text.slice(from))?.index ?? text.length - from);
  };
}
