import { createHmac, randomBytes } from "node:crypto";
import { domains } from "../domains.ts";
import { withoutEntities } from "../entities.ts";
import type { Message } from "./guard.ts";
import { hostCharsMax, nonceOf, placeholderOf, rewrittenIn, waitForRewritten, withoutPlaceholders } from "./placeholder.ts";
import type { Wait } from "./segment.ts";

/** Placeholders for the personal values of a conversation. Immutable; rides on the prompt. */
export interface Pseudonyms {
  /** Part of every placeholder, so that nobody can write one in advance. */
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

const addressCharsMax = 2_048;
/** Twice the longest tag that the guards wait for. */
const tagCharsMax = 8_192;

/** Of this process. */
const key = randomBytes(32);

/**
 * The placeholders of a conversation, which begins with the same texts on each of its turns and so keeps its nonce: what the model reads of earlier turns
 * stays as it was. No two callers share one, and it occurs in nothing that people or tools wrote.
 */
export function newPseudonyms(messages: readonly Message[], caller: string): Pseudonyms {
  const beginning = messages.slice(0, messages.findIndex(({ origin }) => origin === "user") + 1).map(({ passage }) => passage.text);
  // Also where it is only there once a guard has taken out what is not seen.
  const texts = messages
    .filter(({ origin }) => origin !== "model")
    .map(({ passage }) => passage.text.toLowerCase().replaceAll(/[\p{C}\p{Default_Ignorable_Code_Point}]/gu, ""));
  for (let attempt = 0; ; attempt += 1) {
    const digest = createHmac("sha256", key)
      .update(JSON.stringify([caller, beginning, attempt]))
      .digest();
    const nonce = nonceOf(digest);
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
    const placeholder = placeholderOf(label, count, known.nonce);
    all.set(key, placeholder);
    restored.set(placeholder, value);
    return placeholder;
  });
  return { pseudonyms: { nonce: known.nonce, placeholders: all, values: restored }, placeholders };
}

/** Holds back an end of the text that may be the beginning of a placeholder, and a whole one until it is known whether a host goes on behind it: `restore` asks. */
export function waitForPlaceholder(pseudonyms: Pseudonyms): Wait {
  const labels = labelsOf(pseudonyms);
  return labels.length === 0 ? (text) => text.length : waitForRewritten(labels, pseudonyms.nonce);
}

/**
 * Puts the values back, in one pass: a value that looks like a placeholder is not replaced again. What stands in an address stays a placeholder, so that no
 * link carries a value outwards, and so does a value that would begin an element or an address, by itself or with its neighbours, or end code: the guards have
 * not seen it. `before`: what has left already.
 */
export function restore(text: string, pseudonyms: Pseudonyms, before = ""): string {
  const { nonce, values } = pseudonyms;
  if (values.size === 0 || !text.toLowerCase().includes(nonce)) return text;
  let restored = "";
  let taken = 0;
  for (const { start, end, placeholder } of rewrittenIn(text, labelsOf(pseudonyms), nonce)) {
    const value = values.get(placeholder);
    restored += text.slice(taken, start);
    taken = end;
    const left = (before.slice(-tagCharsMax) + restored).slice(-tagCharsMax);
    const stays =
      value === undefined ||
      opening.test(value) ||
      joining.test(`${left.slice(-1)}${value}${text.slice(end, end + 1)}`) ||
      isInAddress(left.slice(-addressCharsMax)) ||
      readingsOf(text.slice(end, end + hostCharsMax)).some((one) => hostBehind.test(one)) ||
      isInTag(left);
    restored += stays ? text.slice(start, end) : value;
  }
  return restored + text.slice(taken);
}

/** What begins an element, a picture, the address of a link in Markdown, or is a handler; and what ends code, or a string in JSON (`json-text.ts`). */
const opening = /[<>`\uff02]|~~~|!\[|\]\(|\]:|\]\[|\bon[a-z]{2,30}\s*=/iu;
/** What does with the characters before and behind it. */
const joining = /^<|~~~|!\[|\]\(|\]:|\]\[/u;

/** A beginning of one: viewers make links of a host and of `<scheme:`, too. */
const address = /\/\/|\\\\|\]\(|\]:|www\.|\.\p{L}{2,24}(?::\d+)?[/?#]|<[a-z][a-z0-9+.-]{1,31}:/iu;

/** What makes a host of what stands before it: a domain that viewers know, or anything that ends as a host in an address does. */
const hostBehind = new RegExp(
  `^[\\p{L}\\p{N}_-]*(?:\\.[\\p{L}\\p{N}_-]+)*\\.(?:(?:${domains})(?![\\p{L}\\p{N}_-])|\\p{L}{2,24}(?::\\d+)?[/?#])`,
  "iu",
);

/** Whether what follows `text` is a part of a link, of an address in Markdown, also one with escapes and entities, or of a tag. */
function isInAddress(text: string): boolean {
  const plain = withoutPlaceholders(text);
  // No other white space ends an address in Markdown.
  const word = plain.split(/[\t\n\f\r ]/u).at(-1) ?? "";
  return (
    readingsOf(word).some((one) => address.test(one)) ||
    /^\](?:\(|:)\s*(?:<[^>\n]*)?$/u.test(plain.slice(Math.max(plain.lastIndexOf("]("), plain.lastIndexOf("]:"), 0))) ||
    /<[a-z][a-z0-9:-]{0,40}[\s/](?:"[^"]*"|'[^']*'|[^"'<>])*(?:"[^"]*|'[^']*)?$/iu.test(plain)
  );
}

/** As it is written, and as Markdown shows it. */
function readingsOf(text: string): string[] {
  return [text, withoutEntities(text.replaceAll(/\\(?=\p{P}|\p{S})/gu, ""))];
}

/** The same of a long tag, read once from the first that begins. */
function isInTag(text: string): boolean {
  const tags = /<[a-z][a-z0-9:-]{0,40}(?=[\s/]|$)(?:"[^"]*(?:"|$)|'[^']*(?:'|$)|[^"'<>])*(>)?/giu;
  const plain = withoutPlaceholders(text);
  const last = [...plain.matchAll(tags)].at(-1);
  return last !== undefined && last[1] === undefined && last.index + last[0].length === plain.length;
}

function labelsOf({ placeholders }: Pseudonyms): string[] {
  return [...new Set([...placeholders.keys()].map(labelOf))];
}

function labelOf(key: string): string {
  return key.slice(0, key.indexOf(" "));
}
