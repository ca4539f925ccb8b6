import type { SegmentGuard } from "../pipeline/guard.ts";
import type { Wait } from "../pipeline/segment.ts";
import { acting, apart, type Detection, notice, segmentGuard } from "./detector.ts";
import { withoutEntities } from "./html-text.ts";

export interface LinkSettings {
  readonly action: "mask" | "block" | "shadow";
  /** Hosts that pictures and links may lead to; `*.example` for all below one. */
  readonly hosts: readonly string[];
}

/** Elements that a viewer loads something for by itself, and those that are followed. */
const loading =
  "img|image|iframe|frame|object|embed|video|audio|source|track|link|input|body|table|thead|tbody|tfoot|tr|td|th|picture|svg|use";
const followed = "a|area";
const quoted = `(?:"[^"]{0,4096}"|'[^']{0,4096}'|[^"'>]){0,4096}>`;
const elements = new RegExp(`<(${loading}|${followed})(?=[\\s/>])(?:${quoted}|[^>]{0,4096}>)`, "giu");
/** One that ends with the text too: what stands behind it decides about the notice. */
const openElement = new RegExp(`<(?:${loading}|${followed})(?=[\\s/]|$)(?!${quoted}.)`, "isu");
const attribute = /[\s/]*([^\s"'<>/=]{1,64})(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?|[^>]/gy;
const addressed: ReadonlySet<string> = new Set(["src", "srcset", "href", "xlink:href", "data", "poster", "background"]);

/** An address that is written out; GitHub's Markdown makes links of `www.` too. */
const bare = /(?<!\]\(\s{0,9}<?)\b(?:[a-z][a-z0-9+.-]{1,12}:(?:\/\/|\\\\)|www\.)[^\s<>"]{3,4096}/giu;
/** Where an address in Markdown begins: of a link, or of a definition. */
const bracket = /\](?:\(|:)\s{0,99}/gu;

/** Longest query, longest piece of a path and longest path that carry nothing. */
const queryCharsMax = 48;
const pieceCharsMax = 64;
const pathCharsMax = 200;

/** Longest open link or picture that is waited for. */
const openCharsMax = 4_096;

/** The rest of a longer one is not read: by then it is plain where it leads, and that it carries something. */
const addressCharsMax = 1_024;
/** A longer one defines nothing. */
const labelCharsMax = 1_000;

const base = "https://here.invalid/";

/** Output gate: pictures from outside, and links that may carry data outwards, are taken out. */
export function linksInAnswer(settings: LinkSettings): SegmentGuard {
  return {
    name: "links",
    wait: waitForLink,
    rewrites: true,
    inspect(segment, asking) {
      const { text: released } = segment.released;
      const earlier = released.slice(0, released.length - segment.before.length);
      const detect = (text: string): Detection[] => detectionsIn(text, earlier, settings);
      return segmentGuard("links", "links", detect, waitForLink).inspect(segment, asking);
    },
  };
}

/** `earlier`: what stands before `text`. A picture by reference, and the definition that says its address, may stand far from each other, in any order. */
function detectionsIn(text: string, earlier: string, { action, hosts }: LinkSettings): Detection[] {
  const found: Detection[] = [];
  const add = (label: "PICTURE" | "LINK", start: number, end: number): void => {
    const span = { start, end };
    if (end > start) found.push({ label, span, action: acting[action], replacement: notice(label.toLowerCase(), text, span) });
  };
  const addresses = addressesIn(text);
  const pictures = picturesIn(text, addresses);
  for (const { start, end, address } of pictures)
    if (address !== undefined && end !== undefined && !isKnown(address, hosts)) add("PICTURE", start, end);
  if (`${earlier}${text}`.includes("![") && `${earlier}${text}`.includes("]:")) {
    const unknown = new Set(definitionsIn(earlier + text).flatMap((one) => (isKnown(one.address, hosts) ? [] : [one.label])));
    const used = new Set(picturesIn(earlier + text, addressesIn(earlier + text)).flatMap(({ labels }) => labels));
    for (const { start, end, labels } of pictures)
      if (end !== undefined && labels.some((label) => unknown.has(label))) add("PICTURE", start, end);
    for (const { start, end, label, address } of definitionsIn(text))
      if (used.has(label) && !isKnown(address, hosts)) add("PICTURE", start, end);
  }
  for (const { index, 0: element, 1: name = "" } of text.includes(">") ? text.matchAll(elements) : []) {
    const all = attributesOf(element.slice(name.length + 1));
    const follows = new RegExp(`^(?:${followed})$`, "iu").test(name);
    if (!follows && all.some((one) => !isKnown(one, hosts))) add("PICTURE", index, index + element.length);
    if (follows && all.some((one) => isCarrying(one, hosts))) add("LINK", index, index + element.length);
  }
  for (const { start, end, address } of addresses) if (isCarrying(address, hosts)) add("LINK", start, end);
  for (const { index, 0: written } of text.matchAll(bare)) {
    const address = written.slice(0, untilBracket(written, 0));
    if (isCarrying(address.replace(/^www\./iu, "https://www."), hosts)) add("LINK", index, index + address.length);
  }
  return apart(found);
}

/** Holds back a picture or link that has begun. */
const waitForLink: Wait = (text) => {
  const from = Math.max(0, text.length - openCharsMax);
  const tail = text.slice(from);
  const open = /[!\]]$|<[a-z]{0,8}$|\b[a-z][a-z0-9+.-]{0,12}(?::[/\\]{0,2}|:(?:\/\/|\\\\)[^\s<>"]{0,4096})?$|\bwww\.[^\s<>"]{0,4096}$/iu;
  const addresses = addressesIn(tail);
  const beginnings = [
    open.exec(tail)?.index,
    openElement.exec(tail)?.index,
    addresses.find(({ end }) => end === tail.length)?.bracket,
    picturesIn(tail, addresses).find(({ end = tail.length }) => end === tail.length)?.start,
  ];
  return from + Math.min(...beginnings.map((at) => at ?? tail.length));
};

interface Address {
  /** Of the bracket that closes before it. */
  readonly bracket: number;
  readonly start: number;
  /** Of the address; the end of the text while it may go on. */
  readonly end: number;
  readonly address: string;
  readonly isDefinition: boolean;
}

/** Addresses of links, pictures and definitions in Markdown. */
function addressesIn(text: string): Address[] {
  return [...text.matchAll(bracket)].map(({ index, 0: opening }) => {
    const start = index + opening.length;
    const angled = text[start] === "<" ? (/^<[^>\n]*>?/u.exec(text.slice(start, start + openCharsMax))?.[0] ?? "") : undefined;
    const end = angled === undefined ? untilBracket(text, start) : start + angled.length;
    const address = angled === undefined ? text.slice(start, end) : angled.slice(1).replace(/>$/u, "");
    return { bracket: index, start, end, address, isDefinition: opening.startsWith("]:") };
  });
}

/** Up to white space, or the first bracket that closes what was not opened. */
function untilBracket(text: string, start: number): number {
  let depth = 0;
  for (let index = start; index < Math.min(text.length, start + addressCharsMax + 1); index += 1) {
    const char = text[index];
    if (char === " " || char === "\n" || char === "\t") return index;
    if (char === "\\") index += 1;
    else if (char === "(" || char === "[") depth += 1;
    else if (char === ")" || char === "]") depth -= 1;
    if (depth < 0) return index;
  }
  return Math.min(text.length, start + addressCharsMax + 1);
}

interface Definition extends Pick<Address, "start" | "end" | "address"> {
  readonly label: string;
}

function definitionsIn(text: string): Definition[] {
  return addressesIn(text).flatMap(({ bracket: close, start, end, address, isDefinition }) => {
    const open = text.lastIndexOf("[", close);
    return isDefinition && open >= 0 ? [{ label: labelOf(text.slice(open + 1, close)), start, end, address }] : [];
  });
}

function labelOf(text: string): string {
  return text.toLowerCase().replaceAll(/\s+/gu, " ").trim();
}

interface Picture {
  readonly start: number;
  /** Undefined where it has none yet. One that ends with the text may go on. */
  readonly end: number | undefined;
  /** Undefined where only a definition can say it. */
  readonly address: string | undefined;
  /** Definitions that may. */
  readonly labels: readonly string[];
}

/** Pictures in Markdown. Where it is not plain which bracket closes the text that is shown instead, every address in the rest of the paragraph may be the picture's. */
function picturesIn(text: string, addresses: readonly Address[]): Picture[] {
  const found: Picture[] = [];
  const byBracket = new Map(addresses.filter((one) => !one.isDefinition).map((one) => [one.bracket, one]));
  const { closings, ends } = bracketsOf(text);
  let paragraph = 0;
  let covered = -1;
  for (let start = text.indexOf("!["); start >= 0; start = text.indexOf("![", start + 2)) {
    while ((ends[paragraph] ?? text.length) < start) paragraph += 1;
    const stop = ends[paragraph] ?? text.length;
    const close = closings.get(start + 1);
    const shown = close === undefined ? undefined : text.slice(start + 2, close);
    const isPlain = shown !== undefined && !/[`<]/u.test(shown);
    const own = isPlain
      ? [byBracket.get(close ?? 0)]
      : covered >= start
        ? []
        : [...byBracket.values()].filter((one) => one.bracket > start && one.start <= stop);
    if (!isPlain) covered = stop;
    for (const { end, address } of own.filter((one) => one !== undefined)) {
      const closing = /^\s{0,99}(?:(?:"[^"]{0,300}"|'[^']{0,300}'|\([^)]{0,300}\))\s{0,99})?\)/u.exec(text.slice(end, end + 999));
      const isOpen = closing === null && stop === text.length;
      found.push({ start, end: isOpen ? undefined : end + (closing?.[0].length ?? 0), address, labels: [] });
    }
    if (close === undefined || shown === undefined) {
      if (stop === text.length) found.push({ start, end: undefined, address: undefined, labels: [] });
      continue;
    }
    const after = text.slice(close + 1, close + 1 + labelCharsMax);
    const label = /^\[([^\]]*)\]/u.exec(after);
    const isCut = label === null && /^\[[^\]]*$/u.test(after) && close + 1 + after.length === text.length;
    const labels = [shown, label?.[1] ?? ""].filter((one) => one !== "" && one.length < labelCharsMax).map(labelOf);
    found.push({ start, end: isCut ? undefined : close + 1 + (label?.[0].length ?? 0), address: undefined, labels });
  }
  return found;
}

/** Which bracket closes which, by the index of the one that opens; and where paragraphs end, over which no brackets reach. */
function bracketsOf(text: string): { closings: ReadonlyMap<number, number>; ends: readonly number[] } {
  const closings = new Map<number, number>();
  const ends: number[] = [];
  let open: number[] = [];
  for (const { index, 0: mark } of text.matchAll(/\\.|[[\]]|\n[ \t]{0,99}(?=\n)/gsu)) {
    if (mark === "[") open.push(index);
    else if (mark === "]") {
      const opened = open.pop();
      if (opened !== undefined) closings.set(opened, index);
    } else if (mark.startsWith("\n")) {
      ends.push(index);
      open = [];
    }
  }
  return { closings, ends };
}

/** What the attributes of a tag lead to, as a browser reads them. */
function attributesOf(tag: string): string[] {
  return [...tag.matchAll(attribute)].flatMap(([, name = "", a, b, c]) => {
    if (!addressed.has(name.toLowerCase())) return [];
    const value = withoutEntities(a ?? b ?? c ?? "").replaceAll(/[\t\n\r]/gu, "");
    return (name.toLowerCase() === "srcset" ? value.split(/[\s,]+/u) : [value.trim()]).filter((one) => one !== "");
  });
}

/** As it is written, and as Markdown and browsers may read it. */
function readings(address: string): string[] {
  const written = address.slice(0, addressCharsMax);
  const plain = withoutEntities(written).replaceAll(/[\s\p{Cc}\p{Cf}]/gu, "");
  return [written, plain, plain.replaceAll("\\", "")];
}

function isCarrying(address: string, hosts: readonly string[]): boolean {
  return readings(address).some(carries) && !isKnown(address, hosts);
}

function carries(address: string): boolean {
  const url = URL.parse(address, base);
  if (url === null) return true;
  if (url.hostname === "here.invalid") return false;
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
