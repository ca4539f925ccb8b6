import type { Entity } from "./entity.ts";
import { escaped } from "./word.ts";

/** Characters of an IBAN by country (SWIFT IBAN registry, release 99). */
const lengths: Readonly<Record<string, number>> = Object.fromEntries(
  `AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22
  GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20
  MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26
  UA29 VA22 VG24 XK20 YE30`
    .split(/\s+/u)
    .map((one) => [one.slice(0, 2), Number(one.slice(2))]),
);

const between = "[ ./–—-]";
const noSeparator = /[^ ./–—\n\r-]/u;
const wordBegins = `(?:(?<![A-Za-z0-9])|(?<=(?<![A-Za-z0-9])[Ii][Bb][Aa][Nn])|${escaped})`;
/** A country that stands apart is written in capitals, as few words are. */
const begins = new RegExp(
  `${wordBegins}([A-Za-z]{2}(?=\\d)|[A-Z]{2}(?=${between}))${between}?\\d{2}(?=[A-Za-z0-9\\n\\r]|${between}|$)`,
  "gu",
);
const mayBegin = new RegExp(`${wordBegins}([A-Z]{2})${between}\\d?$`, "u");
/** Letters behind a whole number are no part of it, `…3000EUR`. */
const ends = /[A-Za-z]{0,12}(?![A-Za-z0-9])/uy;

/** International bank account numbers, ISO 13616, whole and with a right check sum, however they are grouped. */
export function findIbans(text: string): Entity[] {
  const found: Entity[] = [];
  for (const { start, end, value, whole } of walks(text)) {
    if (whole && /\d/u.test(value.slice(4)) && mod97(value) === 1 && endsAt(text, end)) {
      found.push({ start, end, label: "BANK_ACCOUNT", score: 1 });
    }
  }
  return found;
}

/** Where an account number begins that the end of the text may cut off; the text's length if none does. */
export function openIbanFrom(text: string): number {
  for (const { start, end } of walks(text)) {
    if (end === text.length) return start;
  }
  const last = mayBegin.exec(text.slice(-8));
  return last !== null && lengths[last[1] ?? ""] !== undefined ? text.length - last[0].length : text.length;
}

function endsAt(text: string, at: number): boolean {
  ends.lastIndex = at;
  return ends.test(text);
}

interface Walk {
  readonly start: number;
  readonly end: number;
  readonly value: string;
  /** As many characters as the country's numbers have. */
  readonly whole: boolean;
}

/** From each country code with two digits on, as many characters as its numbers have, two separators allowed between two and one line end; at most 100 steps each. */
function* walks(text: string): Generator<Walk> {
  for (const { index: start, 1: country = "" } of text.matchAll(begins)) {
    const length = lengths[country.toUpperCase()];
    if (length === undefined) continue;
    let value = "";
    let end = start;
    let lineEnds = 0;
    for (let at = start; at < text.length && value.length < length; at += 1) {
      const char = text.charAt(at);
      if (/[A-Za-z0-9]/u.test(char)) {
        value += char.toUpperCase();
        end = at + 1;
      } else {
        if (char === "\n") lineEnds += 1;
        if (noSeparator.test(char) || at > end + 1 || lineEnds > 1) break;
      }
    }
    const cut = value.length < length && !noSeparator.test(text.slice(end));
    yield { start, end: cut ? text.length : end, value, whole: value.length === length };
  }
}

function mod97(iban: string): number {
  let rest = 0;
  for (const char of iban.slice(4) + iban.slice(0, 4)) {
    const value = Number.parseInt(char, 36);
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97;
  }
  return rest;
}
