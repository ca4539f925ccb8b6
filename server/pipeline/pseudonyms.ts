import { randomInt } from "node:crypto";
import type { Wait } from "./segment.ts";

/** Placeholders for the personal values of one call. Immutable; rides on the prompt. */
export interface Pseudonyms {
  /** Part of every placeholder, drawn for this call, so that nobody can write one in advance. */
  readonly nonce: string;
  /** Placeholder by `LABEL value`. */
  readonly placeholders: ReadonlyMap<string, string>;
  /** Value by placeholder. */
  readonly values: ReadonlyMap<string, string>;
}

export interface PersonalValue {
  readonly label: string;
  readonly value: string;
}

const openPlaceholder = /^<[A-Z_]*(?:\d+(?:_[a-z2-9]{0,6})?)?$/u;
const placeholderCharsMax = 64;
const alphabet = "abcdefghjkmnpqrstuvwxyz23456789";

/** `texts`: everything the placeholders will stand in; the nonce occurs in none of them. */
export function newPseudonyms(texts: readonly string[]): Pseudonyms {
  for (;;) {
    const nonce = Array.from({ length: 6 }, () => alphabet[randomInt(alphabet.length)]).join("");
    if (!texts.some((text) => text.includes(nonce))) return { nonce, placeholders: new Map(), values: new Map() };
  }
}

/** The placeholders of `values`, in order, and the pseudonyms that know them; the same label and value always get the same one. */
export function pseudonymise(known: Pseudonyms, values: readonly PersonalValue[]): { pseudonyms: Pseudonyms; placeholders: string[] } {
  const all = new Map(known.placeholders);
  const restored = new Map(known.values);
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
    restored.set(placeholder, value);
    return placeholder;
  });
  return { pseudonyms: { nonce: known.nonce, placeholders: all, values: restored }, placeholders };
}

/** Holds back an end of the text that may be the beginning of a placeholder. */
export function waitForPlaceholder({ values }: Pseudonyms): Wait {
  return (text) => {
    const at = values.size === 0 ? -1 : text.lastIndexOf("<");
    return at >= 0 && openPlaceholder.test(text.slice(at, at + placeholderCharsMax)) ? at : text.length;
  };
}

/** Puts the values back, in one pass: a value that looks like a placeholder is not replaced again. */
export function restore(text: string, { nonce, values }: Pseudonyms): string {
  if (values.size === 0 || !text.includes(nonce)) return text;
  return text.replaceAll(new RegExp(`<[A-Z_]+_\\d+_${nonce}>`, "gu"), (placeholder) => values.get(placeholder) ?? placeholder);
}

function labelOf(key: string): string {
  return key.slice(0, key.indexOf(" "));
}
