import { isIPv4, isIPv6 } from "node:net";
import { findKeys, findNamedSecrets } from "./credentials.ts";
import type { Entity } from "./entity.ts";
import { fold } from "./fold.ts";
import { findIbans } from "./iban.ts";
import { findCards, findSocialSecurityNumbers, findTelephones, findWrappedCards } from "./numbers.ts";
import { escaped, wordLetters } from "./word.ts";

/** What is surest comes first: each looks only at what the ones before it left. */
const finders = [
  findKeys,
  findEmails,
  findIbans,
  findAddresses,
  findCards,
  findWrappedCards,
  findSocialSecurityNumbers,
  findTelephones,
  findNamedSecrets,
];

/**
 * Personal data with a form of its own or a check sum, in order, none over another, also where characters that are not seen stand between its
 * own. Linear in the length of the text.
 */
export function findPersonalData(text: string): Entity[] {
  const folded = fold(text);
  return findInFolded(folded.text).map((one) => ({ ...one, start: folded.at(one.start), end: folded.endAt(one.end - 1) }));
}

/** The same for a text that is folded already. */
export function findInFolded(text: string): Entity[] {
  let entities: Entity[] = [];
  let rest = text;
  for (const find of finders) {
    const found = find(rest);
    entities = entities.concat(found);
    rest = blank(rest, found);
  }
  return entities.toSorted((a, b) => a.start - b.start);
}

/** Puts as many characters that are part of nothing in the place of what was found. */
function blank(text: string, found: readonly Entity[]): string {
  let blanked = "";
  let kept = 0;
  for (const { start, end } of found) {
    blanked += text.slice(kept, start) + "\u0000".repeat(end - start);
    kept = end;
  }
  return blanked + text.slice(kept);
}

const domains = new RegExp(
  `@(?:[${wordLetters}][${wordLetters}-]{0,62}\\.){1,8}(?:[${wordLetters}]{2,24}|xn--[a-z0-9-]{2,59})(?![${wordLetters}])`,
  "gu",
);
const localPart = new RegExp(`[${wordLetters}.!#$%&'*+/=?^_{|}~-]`, "u");

const localPartCharsMax = 256;

/** From the `@` outwards, so that a long local part is found too. */
function findEmails(text: string): Entity[] {
  const found: Entity[] = [];
  let taken = 0;
  for (const { index: at, 0: domain } of text.matchAll(domains)) {
    let start = at;
    while (start > taken && start > at - localPartCharsMax && (localPart.test(text.charAt(start - 1)) || escapes(text, start - 1)))
      start -= 1;
    while (start < at && /[.\\'/=&|{}?!#*^$%_-]/u.test(text.charAt(start))) start += 1;
    if (start === at) continue;
    taken = at + domain.length;
    found.push({ start, end: taken, label: "EMAIL", score: 1 });
  }
  return found;
}

/** Markdown writes a backslash before its own marks. */
function escapes(text: string, at: number): boolean {
  return text.charAt(at) === "\\" && /[_*.+~@-]/u.test(text.charAt(at + 1));
}

const addressBegins = `(?:(?<![0-9A-Za-z.])|${escaped})`;
const fourBytes = new RegExp(`${addressBegins}\\d{1,3}(?:\\.\\d{1,3}){3}(?![0-9A-Za-z]|\\.\\d)`, "gu");
/** Groups of hexadecimal digits; a colon before or after them may be the sentence's. */
const hexGroups = new RegExp(
  `${addressBegins}(?:::)?[0-9A-Fa-f]{1,4}(?:::?[0-9A-Fa-f]{1,4}){1,7}(?:::)?(?:(?<=:[0-9]{1,3})(?:\\.\\d{1,3}){3})?(?![0-9A-Za-z])`,
  "gu",
);
/** Before the number of a version or section. */
const versionWord =
  /(?:version["']?[\s=:/("']{0,4}|(?:(?<![\p{L}\d])ver\.?|(?<![\p{L}\d])v|release|build|section|chapter|clause)[\s=/]{0,2}|§\s?)$/iu;
/** `Chrome/` and `requests==`, not `host/` or `ip.addr==`, which may stand before an address. */
const product =
  /(?<![\w./-])(?:(?!IP)[A-Z][A-Za-z]{2,20}\/|(?!\w{0,20}(?:ip|addr|address|host|src|dst|client|server|peer)=)[A-Za-z][\w-]{0,20}==)$/u;
/** What stands before an address is looked at this far. */
const contextChars = 32;

/** Addresses that lead to a machine: not loopback, not "any", not a version number. */
function findAddresses(text: string): Entity[] {
  const found: Entity[] = [];
  for (const { index: start, 0: address } of text.matchAll(fourBytes)) {
    if (!isIPv4(address) || /^(?:127\.|0\.|255\.255\.255\.)/u.test(address)) continue;
    const before = text.slice(Math.max(0, start - contextChars), start);
    if (versionWord.test(before) || product.test(before)) continue;
    found.push({ start, end: start + address.length, label: "IP_ADDRESS", score: 1 });
  }
  for (const { index: start, 0: address } of text.matchAll(hexGroups)) {
    const groups = address.split(/:+/u).filter((group) => group !== "").length;
    // `dead::beef` is C++ more often than an address.
    if (!isIPv6(address) || address === "::1" || (groups < 3 && !/\d/u.test(address))) continue;
    found.push({ start, end: start + address.length, label: "IP_ADDRESS", score: 1 });
  }
  return found.toSorted((a, b) => a.start - b.start);
}
