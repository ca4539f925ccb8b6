import type { SegmentGuard } from "../pipeline/guard.ts";
import type { Span } from "../pipeline/passage.ts";
import type { Wait } from "../pipeline/segment.ts";
import { acting, apart, type Detection, notice, segmentGuard } from "./detector.ts";
import { tagLengths, withoutEntities } from "./html-text.ts";
import { addressCharsMax, addressesIn, definitionsIn, openCharsMax, picturesIn, untilBracket } from "./markdown-links.ts";

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
/** Longest query, longest piece of a path and longest path that carry nothing. */
const queryCharsMax = 48;
const pieceCharsMax = 64;
const pathCharsMax = 200;

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
