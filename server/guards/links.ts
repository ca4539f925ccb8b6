import type { SegmentGuard } from "../pipeline/guard.ts";
import type { Span } from "../pipeline/passage.ts";
import type { Wait } from "../pipeline/segment.ts";
import { acting, apart, type Detection, notice, segmentGuard } from "./detector.ts";
import { tagLengths, withoutEntities } from "./html-text.ts";

export interface LinkSettings {
  readonly action: "mask" | "block" | "shadow";
  /** Hosts that pictures and links may lead to; `*.example` for all below one. */
  readonly hosts: readonly string[];
  /** Another guard sees to tags that do not end, and knows what is code. */
  readonly leavesEndless?: boolean;
}

/** Elements that a viewer loads something for by itself, and those that are followed. */
const loading =
  "img|image|iframe|frame|object|embed|video|audio|source|track|link|input|body|table|thead|tbody|tfoot|tr|td|th|picture|svg|use";
const followed = "a|area";
const elements = new RegExp(`<(${loading}|${followed})(?=[\\s/>]|$)`, "giu");
const attribute = /[\s/]*([^\s"'<>/=]{1,64})(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?|[^>]/gy;
const addressed: ReadonlySet<string> = new Set(["src", "srcset", "href", "xlink:href", "data", "poster", "background"]);

/** An address that is written out; GitHub's Markdown makes links of `www.` too. */
const bare = /(?<!\]\(\s{0,9}<?)\b(?:[a-z][a-z0-9+.-]{1,12}:(?:\/\/|\\\\)|www\.)(?=[^\s<>"]{3})/giu;
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

const labelChars = "(?:\\\\.|[^\\\\[\\]])*";
const labelBefore = new RegExp(`\\[(${labelChars})$`, "su");
const labelBehind = new RegExp(`^\\[(${labelChars})\\]`, "su");
const openLabel = new RegExp(`^\\[${labelChars}\\\\?$`, "su");

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
function detectionsIn(text: string, earlier: string, { action, hosts, leavesEndless = false }: LinkSettings): Detection[] {
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
  for (const { start, end, name } of elementsIn(text)) {
    const follows = new RegExp(`^(?:${followed})$`, "iu").test(name);
    // It may be no more than a `<` in prose.
    if (end === undefined && text.length - start >= openCharsMax && !leavesEndless)
      found.push({
        label: follows ? "LINK" : "PICTURE",
        span: { start, end: start + 1 },
        action: action === "shadow" ? action : "rewrite",
        replacement: "< ",
      });
    const all = end === undefined ? [] : attributesOf(text.slice(start + 1 + name.length, end));
    if (!follows && all.some((one) => !isKnown(one, hosts))) add("PICTURE", start, end ?? start);
    if (follows && all.some((one) => isCarrying(one, hosts))) add("LINK", start, end ?? start);
  }
  for (const { start, end, address } of addresses) if (isCarrying(address, hosts)) add("LINK", start, end);
  for (const { start, end } of bareIn(text))
    if (isCarrying(text.slice(start, end).replace(/^www\./iu, "https://www."), hosts)) add("LINK", start, end);
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
    // What stands behind one decides about the notice.
    elementsIn(tail).find(({ end = tail.length, isPlain }) => !isPlain || end === tail.length)?.start,
    addresses.find(({ end }) => end === tail.length)?.bracket,
    picturesIn(tail, addresses).find(({ end = tail.length }) => end === tail.length)?.start,
  ];
  return from + Math.min(...beginnings.map((at) => at ?? tail.length));
};

interface Element {
  readonly start: number;
  /** Undefined where it has none within what is waited for. */
  readonly end: number | undefined;
  readonly name: string;
  /** However it is read, it has ended. */
  readonly isPlain: boolean;
}

function elementsIn(text: string): Element[] {
  return [...text.matchAll(elements)].map(({ index: start, 1: name = "" }) => {
    const rest = text.slice(start, start + openCharsMax);
    const { viewers, browsers } = tagLengths(rest);
    const isPlain = viewers !== undefined && browsers !== undefined;
    // A quotation mark that is never closed quotes nothing, unless it may be closed behind what is waited for.
    const first = rest.length < openCharsMax ? rest.indexOf(">") + 1 : 0;
    const length = isPlain ? Math.max(viewers, browsers) : (browsers ?? first);
    return { start, end: length === 0 ? undefined : start + length, name, isPlain };
  });
}

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

/** The next may begin right behind the bracket at which one ends. */
function* bareIn(text: string): Generator<Span> {
  const search = new RegExp(bare);
  for (let found = search.exec(text); found !== null; found = search.exec(text)) {
    const { index: start } = found;
    const written = text.slice(start, untilBracket(text, start));
    const end = start + (/[\s<>"]/u.exec(written)?.index ?? written.length);
    yield { start, end };
    search.lastIndex = end;
  }
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
    const label = isDefinition ? labelBefore.exec(text.slice(Math.max(0, close - labelCharsMax), close))?.[1] : undefined;
    return label === undefined ? [] : [{ label: labelOf(label), start, end, address }];
  });
}

/** As CommonMark compares two: in one letter case, where `ß` is `SS`. */
function labelOf(text: string): string {
  return text.toLowerCase().toUpperCase().replaceAll(/\s+/gu, " ").trim();
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
    const label = labelBehind.exec(after);
    const isCut = label === null && openLabel.test(after) && close + 1 + after.length === text.length;
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

/** A label that took the place of a host, or of a part of one. */
const labelled = /(?<=[/\\]{2}[^/\\?#]{0,300})\[([A-Z][A-Z0-9_]{0,63})\]/gu;

/** As it is written, and as Markdown and browsers may read it. */
function readings(address: string): string[] {
  const written = address.slice(0, addressCharsMax).replaceAll(labelled, "$1");
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
