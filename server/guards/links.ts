import { fromCode, withoutEntities } from "../entities.ts";
import type { Asking, Segment, SegmentGuard, Verdict } from "../pipeline/guard.ts";
import type { Span } from "../pipeline/passage.ts";
import type { Wait } from "../pipeline/segment.ts";
import { bareIn, openBareIn } from "./bare-addresses.ts";
import { acting, type Detection, notice, segmentGuard } from "./detector.ts";
import { attributesOf, type Tag, tagAt } from "./html-text.ts";
import { addressCharsMax, addressesIn, definitionsIn, openCharsMax, picturesIn } from "./markdown-links.ts";

export interface LinkSettings {
  readonly action: "mask" | "block" | "shadow";
  /** Hosts that pictures and links may lead to; `*.example` for all below one. */
  readonly hosts: readonly string[];
  /** Another guard takes out scripts and styles, sees to tags that do not end, and knows what is code. */
  readonly leavesActive?: boolean;
}

const elements = /<([a-z][\w:-]*)/giu;
/** Elements that lead somewhere once they are clicked; what others name, a viewer loads by itself. */
const clicked: ReadonlySet<string> = new Set(["a", "area", "form", "button"]);
/** Attributes with an address, behind a prefix too; a click on `href` sends no more than what it says. */
const addressed: ReadonlySet<string> = new Set([
  ...["href", "src", "srcset", "imagesrcset", "data", "poster", "background", "lowsrc", "dynsrc", "base"],
  ...["to", "from", "by", "values", "action", "formaction", "ping", "attributionsrc"],
]);
/** Those with several: what stands between two. */
const separators: ReadonlyMap<string, RegExp> = new Map([
  ["srcset", /[\s,]+/u],
  ["imagesrcset", /[\s,]+/u],
  ["values", /;/u],
  ["ping", /\s+/u],
  ["attributionsrc", /\s+/u],
]);
/** What another guard may see to. */
const activeElements: ReadonlySet<string> = new Set(["script", "style"]);
/** Functions and rules of CSS that load something, in a style or an attribute of SVG. */
const loading = /(?:url|src|image|image-set|cross-fade)\(|@import/iu;

/** A fence whose content viewers draw, and load what it names. */
const drawn = /^[ \t>*+\-\d.)]*(`{3,}|~{3,})[ \t{.]*(?:mermaid|vega(?:lite)?|dot|graphviz|plantuml|echarts|plotly)\b/gimu;

/** Longest query, longest piece of a host or path, and longest host and path that carry nothing. */
const queryCharsMax = 48;
const pieceCharsMax = 64;
const pathCharsMax = 200;

/** A text that is not through by then is made to keep the guard busy. */
const looksMax = 32;

/** Where an answer is shown: of a scheme that no page has, so that `https:a.example` is not beside it. */
const base = "ws://here.invalid/";

/** Output gate: pictures from outside, and links that may carry data outwards, are taken out. */
export function linksInAnswer(settings: LinkSettings): SegmentGuard {
  return {
    name: "links",
    wait: waitForLink,
    rewrites: true,
    inspect: (segment, asking) => untilPassed(segment, asking, settings),
  };
}

/** What is left is judged once more: a quotation mark may have gone that hid a picture. What begins before has left and is not taken out twice. */
async function untilPassed(segment: Segment, asking: Asking, settings: LinkSettings, looks = looksMax): Promise<Verdict<Segment>> {
  if (looks === 0) throw new Error(`After ${looksMax} looks there is still a link in what is left.`);
  const { text: released } = segment.released;
  const earlier = released.slice(0, released.length - segment.before.length);
  const isJson = segment.answer?.isJson === true;
  const detect = (text: string): Detection[] => detectionsIn(text, { earlier, isJson }, settings);
  const verdict = await segmentGuard("links", "links", detect, waitForLink).inspect(segment, asking);
  if (verdict.action !== "rewrite") return verdict;
  const next = await untilPassed({ ...verdict.subject, before: segment.before.slice(-1) }, asking, settings, looks - 1);
  const findings = [...verdict.findings, ...next.findings];
  return next.action === "pass" ? { ...verdict, findings } : { ...next, findings };
}

/** `earlier`: what stands before `text`. A picture by reference, and the definition that says its address, may stand far from each other, in any order. */
function detectionsIn(
  text: string,
  { earlier, isJson }: { earlier: string; isJson: boolean },
  { action, hosts, leavesActive = false }: LinkSettings,
): Detection[] {
  const found: Detection[] = [];
  const add = (label: "PICTURE" | "LINK", start: number, end: number): void => {
    const span = { start, end };
    if (end > start) found.push({ label, span, action: acting[action], replacement: notice(label.toLowerCase(), text, span) });
  };
  /** It did not end within what is waited for, and may be no more than a `<` or `![` in prose: whatever the policy says, it gets a space and is none. */
  const part = (label: "PICTURE" | "LINK", start: number): void => {
    const span = { start, end: start + 1 };
    found.push({ label, span, action: action === "shadow" ? action : "rewrite", replacement: `${text[start]} ` });
  };
  const addresses = addressesIn(text);
  const pictures = picturesIn(text, addresses);
  for (const { start, end, isOpen } of pictures)
    if (isOpen ? text.length - start > openCharsMax : end - start > openCharsMax) part("PICTURE", start);
  for (const { start, end, address } of pictures) if (address !== undefined && !isKnown(address, hosts)) add("PICTURE", start, end);
  const whole = earlier + text;
  if (whole.includes("![") && whole.includes("]:")) {
    const unknown = definitionsIn(whole).filter((one) => !isKnown(one.address, hosts));
    const defined = new Set(unknown.map(({ label }) => label));
    const used = new Set(picturesIn(whole, addressesIn(whole)).flatMap(({ labels }) => labels));
    for (const { start, end, labels } of pictures) if (labels.some((label) => defined.has(label))) add("PICTURE", start, end);
    for (const { start, end, label } of unknown) if (used.has(label)) add("PICTURE", start - earlier.length, end - earlier.length);
  }
  for (const { start, end, name, attributes } of elementsIn(text)) {
    const label = clicked.has(name) ? "LINK" : "PICTURE";
    if (end === undefined && !leavesActive) part(label, start);
    if (leavesActive && activeElements.has(name)) continue;
    if (end !== undefined && (name === "style" || leadsOut(name, attributes, hosts))) add(label, start, end);
  }
  const drawings = drawingsIn(whole);
  for (const { start, end, address } of [...addresses, ...bareIn(text, addresses, { isCut: earlier !== "", isJson })]) {
    const isDrawn = drawings.some((one) => one.start <= earlier.length + start && earlier.length + start < one.end);
    if (isDrawn ? !isKnown(address, hosts) : isCarrying(address, hosts)) add(isDrawn ? "PICTURE" : "LINK", start, end);
  }
  return besideEachOther(found, text);
}

/** In order. Of two that lie over each other the first ends where the second begins, so that neither stays in part; notices without a space between them could make a picture. */
function besideEachOther(found: readonly Detection[], text: string): Detection[] {
  const all: Detection[] = [];
  for (const one of found.toSorted((a, b) => a.span.start - b.span.start || b.span.end - a.span.end)) {
    const last = all.at(-1);
    if (last === undefined || one.span.start > last.span.end) all.push(one);
    else if (one.span.end > last.span.end) {
      const span = { start: last.span.start, end: one.span.start };
      if (span.end < last.span.end) all.splice(-1, 1, { ...last, span, replacement: notice(last.label.toLowerCase(), text, span) });
      all.push({ ...one, replacement: ` ${one.replacement.trimStart()}` });
    }
  }
  return all;
}

/** Holds back a picture or link that has begun, and those before it that end where it begins: what stands behind one decides about the notice. */
const waitForLink: Wait = (text) => {
  const from = Math.max(0, text.length - openCharsMax);
  const tail = text.slice(from);
  const addresses = addressesIn(tail);
  const spans = [
    ...addresses.map(({ bracket: start, end }) => ({ start, end, isOpen: false })),
    ...picturesIn(tail, addresses),
    ...elementsIn(tail),
  ].toSorted((a, b) => a.start - b.start);
  const begun = Math.min(openBareIn(tail), tail.search(/(?<![!\]<])[!\]<]*$/u));
  return from + spans.reduceRight((open, { start, end = 0, isOpen }) => (isOpen || end >= open ? Math.min(open, start) : open), begun);
};

function drawingsIn(text: string): Span[] {
  const found: Span[] = [];
  for (const { index: start, 0: line, 1: mark = "" } of text.matchAll(drawn)) {
    if (start < (found.at(-1)?.end ?? 0)) continue;
    const closing = new RegExp(`^[ \\t>]*${mark[0]}{${mark.length},}[ \\t]*$`, "gmu");
    closing.lastIndex = start + line.length;
    found.push({ start, end: closing.exec(text)?.index ?? text.length });
  }
  return found;
}

interface Element extends Tag {
  readonly start: number;
  readonly name: string;
  readonly attributes: string;
}

function elementsIn(text: string): Element[] {
  return [...text.matchAll(elements)].map(({ index: start, 0: begun, 1: name = "" }) => {
    const tag = tagAt(text, start);
    // What stands behind an end that is not sure may be in it.
    const next = tag.isOpen ? text.indexOf("<", tag.end ?? start + 1) : -1;
    const attributes = text.slice(start + begun.length, tag.isOpen ? (next < 0 ? text.length : next) : tag.end);
    return { ...tag, start, name: name.toLowerCase(), attributes };
  });
}

/** As a browser reads the attributes of a tag. */
function leadsOut(element: string, attributes: string, hosts: readonly string[]): boolean {
  return attributesOf(attributes).some(({ name: prefixed, value }) => {
    const name = prefixed.slice(prefixed.lastIndexOf(":") + 1);
    if (name === "srcdoc" || loadedBy(value).some((one) => !isKnown(one, hosts))) return true;
    const separator = separators.get(name);
    const all = !addressed.has(name) ? [] : separator === undefined ? [value] : value.split(separator);
    const isFollowed = name === "href" && clicked.has(element);
    return all.some((one) => one !== "" && (isFollowed ? isCarrying(one, hosts) : !isKnown(one, hosts)));
  });
}

/** What a style, or an attribute of SVG, loads from elsewhere. */
function loadedBy(value: string): string[] {
  const css = value.replaceAll(/\\(?:([0-9a-f]{1,6})\s?|(.))/gisu, (_, hex, char) => char ?? fromCode(Number.parseInt(hex, 16)));
  return loading.test(css) ? [...css.matchAll(/(?:https?:|[/\\]{2})[^\s"'()]*/giu)].map(([address]) => address) : [];
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
    url.username + url.password !== "" ||
    url.hostname.length + url.pathname.length > pathCharsMax ||
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
