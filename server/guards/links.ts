import type { Wait } from "../pipeline/segment.ts";
import { acting, apart, type Detection, type Detector } from "./detector.ts";
import { withoutEntities } from "./html-text.ts";

export interface LinkSettings {
  readonly action: "mask" | "block" | "shadow";
  /** Hosts that pictures and links may lead to; `*.example` for all below one. */
  readonly hosts: readonly string[];
}

/** Elements that a viewer loads something for by itself, and the attributes that say what. */
const names = "img|image|iframe|frame|object|embed|video|audio|source|track|link|input|body|table|td|th";
const quoted = `(?:"[^"]{0,4096}"|'[^']{0,4096}'|[^"'>]){0,4096}>`;
const elements = new RegExp(`<(?:${names})\\b(?:${quoted}|[^>]{0,4096}>)`, "giu");
const openElement = new RegExp(`<(?:${names})\\b(?!${quoted})`, "iu");
const sources =
  /(?<![\w-])(?:src|srcset|href|data|poster|background)\s{0,9}=\s{0,9}(?:"([^"]{0,4096})"|'([^']{0,4096})'|([^\s>"']{1,4096}))/giu;
/** Links of any kind; with an address in Markdown that need not look like one as it is written. */
const links = /(?<=\]\(\s{0,64}<?)[^)\s<>]{3,4096}|\b[a-z][a-z0-9+.-]{1,12}:\/\/[^\s<>"')\]]{3,4096}/giu;

/** Longest query, longest piece of a path and longest path that carry nothing. */
const queryCharsMax = 48;
const pieceCharsMax = 64;
const pathCharsMax = 200;

/** Longest open link or picture that is waited for. */
const openCharsMax = 4_096;
/** Longest text that is shown where a picture can't be. */
const altCharsMax = 1_024;

const base = "https://here.invalid/";

/** Output gate: pictures from outside, and links that may carry data outwards, are taken out. */
export function carryingLinks({ action, hosts }: LinkSettings): Detector {
  const detection = (label: string, start: number, end: number): Detection => {
    return { label, span: { start, end }, action: acting[action], replacement: `[${label.toLowerCase()} withheld]` };
  };
  return (text) => {
    const found: Detection[] = [];
    for (const { start, end, address } of picturesIn(text))
      if (end !== undefined && !isKnown(address, hosts)) found.push(detection("PICTURE", start, end));
    for (const { index, 0: element } of text.matchAll(elements)) {
      const addresses = [...element.matchAll(sources)].flatMap(([, a, b, c]) => (a ?? b ?? c ?? "").split(/[\s,]+/u));
      if (addresses.some((one) => one !== "" && !isKnown(one, hosts))) found.push(detection("PICTURE", index, index + element.length));
    }
    for (const { index, 0: address } of text.matchAll(links))
      if (readings(address).some(carries) && !isKnown(address, hosts)) found.push(detection("LINK", index, index + address.length));
    return apart(found);
  };
}

/** Holds back a picture or link that has begun. */
export const waitForLink: Wait = (text) => {
  const from = Math.max(0, text.length - openCharsMax);
  const tail = text.slice(from);
  const open = /!$|\]$|\]\(\s{0,64}<?[^)\s<>]{0,4096}$|<[a-z]{0,8}$|\b[a-z][a-z0-9+.-]{0,12}(?::|:\/|:\/\/[^\s<>"')\]]{0,4096})?$/iu;
  const picture = picturesIn(tail).find(({ end = tail.length }) => end === tail.length);
  const beginnings = [open.exec(tail)?.index, openElement.exec(tail)?.index, picture?.start];
  return from + Math.min(...beginnings.map((at) => at ?? tail.length));
};

interface Picture {
  readonly start: number;
  /** Undefined where it has none yet. One that ends with the text may go on. */
  readonly end: number | undefined;
  /** Empty where another place of the text says it. */
  readonly address: string;
}

/** Pictures in Markdown. */
function picturesIn(text: string): Picture[] {
  const found: Picture[] = [];
  for (let start = text.indexOf("!["); start >= 0; start = text.indexOf("![", start + 2)) {
    const close = closingBracket(text, start + 2);
    if (close === "none") continue;
    if (close === "open") {
      found.push({ start, end: undefined, address: "" });
      break;
    }
    const rest = text.slice(close + 1, close + 1 + openCharsMax);
    const target = /^\(\s*<([^>\n]*)>/u.exec(rest) ?? /^\(\s*([^\s)]*)/u.exec(rest);
    const inlineEnd = target === null ? -1 : rest.indexOf(")", target[0].length);
    const label = /^\[[^\]]{0,300}(\]?)/u.exec(rest);
    const isOpen = rest.length < openCharsMax && ((target !== null && inlineEnd < 0) || label?.[1] === "");
    const end = isOpen ? undefined : close + 1 + (inlineEnd >= 0 ? inlineEnd + 1 : (label?.[0].length ?? 0));
    found.push({ start, end, address: inlineEnd < 0 ? "" : (target?.[1] ?? "") });
    if (isOpen) break;
  }
  return found;
}

/** Of the bracket before `at`; `none` where a paragraph ends before, or too much stands between. */
function closingBracket(text: string, at: number): number | "open" | "none" {
  let depth = 1;
  for (let index = at; index < at + altCharsMax; index += 1) {
    const char = text[index];
    if (char === undefined) return "open";
    if (char === "\\") index += 1;
    else if (char === "[") depth += 1;
    else if (char === "]") depth -= 1;
    else if (char === "\n" && text[index + 1] === "\n") return "none";
    if (depth === 0) return index;
  }
  return "none";
}

/** As it is written, and as Markdown and browsers may read it. */
function readings(address: string): string[] {
  const plain = withoutEntities(address).replaceAll(/[\s\p{Cc}\p{Cf}]/gu, "");
  return [address, plain, plain.replaceAll("\\", "")];
}

function carries(address: string): boolean {
  const url = URL.parse(address, base);
  if (url === null) return true;
  if (url.origin === new URL(base).origin) return false;
  return (
    url.search.length + url.hash.length > queryCharsMax ||
    url.username !== "" ||
    url.pathname.length > pathCharsMax ||
    `${url.hostname}${url.pathname}`.split(/[/.]/u).some((piece) => piece.length > pieceCharsMax)
  );
}

/** A picture without a scheme lies beside the page that shows it; one whose address nobody can read is not known. */
function isKnown(address: string, hosts: readonly string[]): boolean {
  if (address.trim() === "") return false;
  return readings(address).every((reading) => {
    const host = URL.parse(reading, base)?.hostname;
    if (host === "here.invalid") return true;
    return hosts.some((one) => (one.startsWith("*.") ? host?.endsWith(one.slice(1)) : host === one));
  });
}
