import type { Entity } from "./entity.ts";
import { escaped } from "./word.ts";

/** Digits with at most three separators between two of them, as people write card, telephone and social security numbers. */
const runs = /\d(?:[ ().\-–—/]{0,3}\d){5,}/gu;
/** The same over the ends of lines. */
const wrappedRuns = /\d(?:(?:[ ().\-–—/]{0,3}|[ -]?\r?\n {0,3})\d){5,}/gu;
/** 19 digits and what may stand between them. */
const wrappedCharsMax = 80;

/** Between such words and the number. */
const gap = `(?:[ _-]?number| no| is|\\.)*[\\s:#.=(+"'*_)]{0,8}$`;
const telephoneWords = new RegExp(
  `(?:${[
    "phone|telephone|tel|mobile|mob|fax|whatsapp|sms|dial|ring(?: me)?|reach(?: me| us)?(?: on| at)|telefon|handy|tél|téléphone|móvil|teléfono",
    "(?<!\\p{L})(?:call (?:me|us|him|her|them)(?: on| at)?|(?:my|your|his|her|our|their|['’]s) cell|(?:call|cell)(?=[\"'*_)]{0,3}\\s?:))",
    // Somebody's number, whatever it is the number of.
    "(?:(?<!\\p{L})(?:my|your|his|her|our|their)|['’]s)(?: (?:new|old|own|other|current|direct))? number",
    "(?:contact|emergency|home|work|office|private|personal|direct|business|support|service|hotline|landline|cell)[ _-]?number",
    "(?:account|customer|member|client|policy|insurance|patient|passport|licen[cs]e|identity|tax|security|card|bank)[ _-]?number",
  ].join("|")})${gap}`,
  "iu",
);
/** Words before telephone numbers and before much else. */
const perhapsTelephoneWords = new RegExp(
  `(?:(?<!\\p{L})(?:call|cell)(?: on| at)?|(?:(?<![\\p{L}\\d][ _-]?)|(?<=(?<!\\p{L})(?:the|this|that|a|right|correct|following|on|at|under|or|and) ))number)${gap}`,
  "iu",
);
const otherWords = new RegExp(
  `(?<!\\p{L})(?:isbn(?:-1[03])?|(?:order|invoice|page|prime|part|serial|ticket|case|model|product|article|item|batch|issue|tracking)[ _-](?:number|no))${gap}`,
  "iu",
);
const socialSecurityWords = /(?:ssn|social security(?: number)?)(?: no| number| is)*[\s:#.="'*_)]{0,8}$/iu;
/** As programs print them; check digits stand in one fraction of ten. */
const decimals = /(?<![\d.])\d{1,3}\.\d{6,}(?!\.?\d)/gu;
const date = /^(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))(?!\d)/u;

const escapedEnd = new RegExp(`${escaped}$`, "u");

/** What stands before a number is looked at this far. */
const contextChars = 48;

/** How many digits each kind has. */
const digitsOf = { CREDIT_CARD: [12, 19], GOV_ID: [9, 9], PHONE: [7, 15] } as const;

interface Group {
  readonly start: number;
  readonly end: number;
}

/** What stands before the first group of a window. */
interface Context {
  /** `+`, `(` or neither, directly before. */
  readonly prefix: string;
  /** Digits that are part of nothing found stand directly before, with separators only. */
  readonly continued: boolean;
  /** What the words before announce. */
  readonly announced: "telephone" | "perhaps telephone" | "social security" | "other" | undefined;
}

/** Some groups of digits next to each other. Most are thrown away at once, so what they are asked for is made when it is asked for. */
class Window {
  readonly digits: string;
  readonly groups: readonly Group[];
  readonly context: Context;
  /** No other digits stand beside it. */
  readonly alone: boolean;
  readonly #source: string;

  constructor(source: string, digits: string, groups: readonly Group[], context: Context, alone: boolean) {
    this.#source = source;
    this.digits = digits;
    this.groups = groups;
    this.context = context;
    this.alone = alone;
  }

  get start(): number {
    return this.groups[0]?.start ?? 0;
  }

  get end(): number {
    return this.groups.at(-1)?.end ?? 0;
  }

  /** Digits in each group. */
  get lengths(): number[] {
    return this.groups.map(({ start, end }) => end - start);
  }

  get text(): string {
    return this.#source.slice(this.start, this.end);
  }
}

export const findCards = (text: string): Entity[] =>
  findNumbers(
    text.replace(decimals, (decimal) => "\u0000".repeat(decimal.length)),
    "CREDIT_CARD",
    (window) => isCard(window.digits) && isGrouped(window),
  );
export const findSocialSecurityNumbers = (text: string): Entity[] => findNumbers(text, "GOV_ID", isSocialSecurity);
export const findTelephones = (text: string): Entity[] => findNumbers(text, "PHONE", isTelephone);

/** By themselves and over one line end, as text that is wrapped has them: tables of numbers have more. */
export function findWrappedCards(text: string): Entity[] {
  return [...text.matchAll(wrappedRuns)].flatMap(({ index, 0: run }): Entity[] => {
    if (run.length > wrappedCharsMax || run.split("\n").length !== 2) return [];
    const groups = run.match(/\d+/gu) ?? [];
    const isOne = groups.length >= 3 && isPrinted(groups.map(({ length }) => length)) && isCard(groups.join(""));
    return isOne ? [{ start: index, end: index + run.length, label: "CREDIT_CARD", score: 1 }] : [];
  });
}

/** The longest windows that are one. At most 19 windows begin at each group: linear in the length of the text. */
function findNumbers(text: string, label: keyof typeof digitsOf, isOne: (window: Window) => boolean): Entity[] {
  const found: Entity[] = [];
  for (const run of text.matchAll(runs)) {
    const groups = [...run[0].matchAll(/\d+/gu)].map(
      (group): Group => ({ start: run.index + group.index, end: run.index + group.index + group[0].length }),
    );
    let continued = false;
    for (let first = 0; first < groups.length; ) {
      const window: Window | undefined = windowsAt(text, groups, first, continued, label).findLast(isOne);
      if (window !== undefined) found.push({ start: window.start - window.context.prefix.length, end: window.end, label, score: 1 });
      continued = window === undefined;
      first += window?.groups.length ?? 1;
    }
  }
  return found;
}

/** Shortest first; none that begins or ends inside a word. */
function windowsAt(text: string, groups: readonly Group[], first: number, continued: boolean, label: keyof typeof digitsOf): Window[] {
  const [digitsMin, digitsMax] = digitsOf[label];
  const windows: Window[] = [];
  const start = groups[first]?.start ?? 0;
  // A check digit is proof enough beside a letter: `4111…1111USD`.
  if (label !== "CREDIT_CARD" && isWord(text, start - 1) && !escapedEnd.test(text.slice(Math.max(0, start - 2), start))) return windows;
  // Words stand before the first group of a run only: before the others stand digits.
  const announced = first === 0 ? announcedBy(text.slice(Math.max(0, start - contextChars), start)) : undefined;
  const context = { prefix: /(?:\(\+?|\+)$/u.exec(text.slice(Math.max(0, start - 2), start))?.[0] ?? "", continued, announced };
  let digits = "";
  for (let last = first; last < groups.length; last += 1) {
    const group = groups[last];
    if (group === undefined || digits.length + group.end - group.start > digitsMax) break;
    digits += text.slice(group.start, group.end);
    if (digits.length >= digitsMin && (label === "CREDIT_CARD" || !isWord(text, group.end))) {
      windows.push(new Window(text, digits, groups.slice(first, last + 1), context, first === 0 && last === groups.length - 1));
    }
  }
  return windows;
}

function announcedBy(before: string): Context["announced"] {
  if (otherWords.test(before)) return "other";
  if (telephoneWords.test(before)) return "telephone";
  if (perhapsTelephoneWords.test(before)) return "perhaps telephone";
  return socialSecurityWords.test(before) ? "social security" : undefined;
}

/** As cards are printed or told digit by digit, not as lists of numbers are. A number by itself may be grouped in any way a person would. */
function isGrouped({ lengths, alone }: Window): boolean {
  return (
    isPrinted(lengths) ||
    lengths.every((one) => one === 1) ||
    (alone && (lengths.length <= 5 || lengths.slice(0, -1).every((one) => one >= 2)))
  );
}

function isPrinted(lengths: readonly number[]): boolean {
  const [first = 0] = lengths;
  return lengths.every((one) => one >= 3) || (first >= 4 && lengths.slice(0, -1).every((one) => one === first));
}

/** An issuer's first digits with one of its lengths, and the check digit of ISO/IEC 7812-1 (Luhn). */
function isCard(digits: string): boolean {
  const issued =
    /^(?:4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:20[0-4]|22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d|9\d)\d{11,16}|35(?:2[89]|[3-8]\d)\d{12,15}|6(?:011|4[4-9]\d|5\d\d|2\d\d)\d{12,15}|(?:50(?:18|20|38)|5893|6304|6759|676[123])\d{8,15})$/u;
  return issued.test(digits) && luhnSum(digits) % 10 === 0;
}

function luhnSum(digits: string): number {
  let sum = 0;
  for (const [index, digit] of [...digits].toReversed().entries()) {
    const value = Number(digit) * (index % 2 === 0 ? 1 : 2);
    sum += value > 9 ? value - 9 : value;
  }
  return sum;
}

/** Numbers that the Social Security Administration never issued are not taken for one. */
function isSocialSecurity({ digits, groups, text, context }: Window): boolean {
  const written = groups.length === 3 && /^\d{3}([ –-])\d{2}\1\d{4}$/u.test(text);
  const named = context.announced === "social security";
  return (written || named) && !/^(?:000|666|9)|^...00|0000$/u.test(digits);
}

function isTelephone(window: Window): boolean {
  const { digits, groups, context } = window;
  const { prefix, continued, announced } = context;
  if (prefix.endsWith("+")) return (digits.startsWith("1") ? digits.length === 11 : digits.length >= 8) && !date.test(window.text);
  if (announced === "telephone") return !date.test(window.text);
  const isNorthAmerican = (): boolean => /^1?[2-9]\d\d[2-9]\d{6}$/u.test(digits);
  if (announced === "perhaps telephone" && (isNorthAmerican() || /^[\d,]+,4$/u.test(window.lengths.join()))) return !date.test(window.text);
  if (groups.length >= 3 && groups.length <= 4 && isNorthAmerican() && /^(?:1,)?3,3,4$/u.test(window.lengths.join())) {
    const { text } = window;
    return !text.includes("/") && !date.test(text) && (prefix === "(" || /[-.)]/u.test(text));
  }
  // Most other countries write a trunk zero before the area code, or two before the country's.
  if (continued || announced === "other" || !/^00?[1-9]/u.test(digits) || window.text === "0123456789") return false;
  if (/^2,2,2,2,2$/u.test(window.lengths.join())) return !areEvenSteps(digits);
  if (window.text.includes(".") || date.test(window.text)) return false;
  if (digits.startsWith("00")) return groups.length > 1 && digits.length >= 10;
  return groups.length === 1
    ? digits.length === 10 || digits.length === 11
    : (window.lengths[0] ?? 0) >= 2 && digits.length >= 9 && digits.length <= 12;
}

/** 01 02 03 04 05 counts. */
function areEvenSteps(digits: string): boolean {
  const pairs = digits.match(/../gu)?.map(Number) ?? [];
  const [first = 0, second = 0] = pairs;
  return pairs.every((one, index) => one === first + index * (second - first));
}

function isWord(text: string, at: number): boolean {
  const char = text.charCodeAt(at);
  return char > 127 ? /[\p{L}\p{N}]/u.test(text.charAt(at)) : /[0-9A-Za-z]/u.test(text.charAt(at));
}
