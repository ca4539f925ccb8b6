import { randomInt } from "node:crypto";

/** Placeholders for the personal values of one call. Immutable; rides on the prompt. */
export interface Pseudonyms {
  /** Part of every placeholder, drawn for this call, so that nobody can write one in advance. */
  readonly nonce: string;
  /** Placeholder by `LABEL value`. */
  readonly placeholders: ReadonlyMap<string, string>;
}

export interface PersonalValue {
  readonly label: string;
  readonly value: string;
}

const alphabet = "abcdefghjkmnpqrstuvwxyz23456789";

/** `texts`: everything the placeholders will stand in; the nonce occurs in none of them. */
export function newPseudonyms(texts: readonly string[]): Pseudonyms {
  for (;;) {
    const nonce = Array.from({ length: 6 }, () => alphabet[randomInt(alphabet.length)]).join("");
    if (!texts.some((text) => text.includes(nonce))) return { nonce, placeholders: new Map() };
  }
}

/** The placeholders of `values`, in order, and the pseudonyms that know them; the same label and value always get the same one. */
export function pseudonymise(known: Pseudonyms, values: readonly PersonalValue[]): { pseudonyms: Pseudonyms; placeholders: string[] } {
  const all = new Map(known.placeholders);
  const counts = new Map<string, number>();
  for (const key of all.keys()) counts.set(labelOf(key), (counts.get(labelOf(key)) ?? 0) + 1);
  const placeholders = values.map(({ label, value }) => {
    const key = `${label} ${value}`;
    const seen = all.get(key);
    if (seen !== undefined) return seen;
    const count = (counts.get(label) ?? 0) + 1;
    counts.set(label, count);
    const placeholder = `<${label}_${count}_${known.nonce}>`;
    all.set(key, placeholder);
    return placeholder;
  });
  return { pseudonyms: { nonce: known.nonce, placeholders: all }, placeholders };
}

/** Puts the values back, in one pass: a value that looks like a placeholder is not replaced again. */
export function restore(text: string, { nonce, placeholders }: Pseudonyms): string {
  if (placeholders.size === 0 || !text.includes(nonce)) return text;
  const values = new Map([...placeholders].map(([key, placeholder]) => [placeholder, key.slice(labelOf(key).length + 1)]));
  return text.replaceAll(new RegExp(`<[A-Z_]+_\\d+_${nonce}>`, "gu"), (placeholder) => values.get(placeholder) ?? placeholder);
}

function labelOf(key: string): string {
  return key.slice(0, key.indexOf(" "));
}
