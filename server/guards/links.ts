import type { Wait } from "../pipeline/segment.ts";
import { acting, type Detection, type Detector } from "./detector.ts";

export interface LinkSettings {
  readonly action: "mask" | "block" | "shadow";
  /** Hosts that pictures and links may lead to; `*.example` for all below one. */
  readonly hosts: readonly string[];
}

/** What a viewer loads by itself: pictures in Markdown and HTML, and links of any kind that carry more than an address. */
const pictures =
  /!\[[^\]\n]{0,300}\]\(\s{0,8}<?([^)\s>]{1,4096})>?[^)\n]{0,300}\)|<(?:img|iframe|object|embed|video|audio|source|link)\b[^>]{0,4096}>/giu;
const links = /\b[a-z][a-z0-9+.-]{1,12}:\/\/[^\s<>"')\]]{3,4096}/giu;
const source = /(?:src|href|data)\s{0,4}=\s{0,4}["']?([^"'\s>]{1,4096})/iu;

/** Longest query and longest piece of a path that carry nothing. */
const queryCharsMax = 48;
const pieceCharsMax = 64;

/** Longest open link or picture that is waited for. */
const openCharsMax = 4_096;

/** Output gate: pictures from outside, and links that may carry data outwards, are taken out. */
export function carryingLinks({ action, hosts }: LinkSettings): Detector {
  return (text) => {
    const found: Detection[] = [];
    for (const match of text.matchAll(pictures)) {
      const address = match[1] ?? source.exec(match[0])?.[1] ?? "";
      if (!isKnown(address, hosts)) found.push(detection("PICTURE", match, action));
    }
    for (const match of text.matchAll(links)) {
      const inside = found.some(({ span }) => match.index >= span.start && match.index < span.end);
      if (!inside && carries(match[0]) && !isKnown(match[0], hosts)) found.push(detection("LINK", match, action));
    }
    return found.toSorted((a, b) => a.span.start - b.span.start);
  };
}

/** Holds back a picture or link that has begun. */
export const waitForLink: Wait = (text) => {
  const from = Math.max(0, text.length - openCharsMax);
  const open =
    /!$|!\[[^\n]{0,4096}$|<[a-z]{0,8}$|<(?:img|iframe|object|embed|video|audio|source|link)\b[^>]{0,4096}$|\b[a-z][a-z0-9+.-]{0,12}(?::|:\/|:\/\/[^\s<>"')\]]{0,4096})?$/iu;
  const tail = text.slice(from);
  const closed = /!\[[^\]\n]*\]\([^)\n]*\)[^!<]*$/u.exec(tail);
  const match = open.exec(closed === null ? tail : tail.slice(closed.index + 1));
  if (match === null) return text.length;
  return from + (closed === null ? 0 : closed.index + 1) + match.index;
};

function detection(label: string, match: RegExpExecArray, action: LinkSettings["action"]): Detection {
  const span = { start: match.index, end: match.index + match[0].length };
  return { label, span, action: acting[action], replacement: `[${label.toLowerCase()} withheld]` };
}

function carries(address: string): boolean {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return true;
  }
  return (
    url.search.length + url.hash.length > queryCharsMax ||
    url.username !== "" ||
    `${url.hostname}${url.pathname}`.split(/[/.]/u).some((piece) => piece.length > pieceCharsMax)
  );
}

/** A picture without a scheme lies beside the page that shows it. */
function isKnown(address: string, hosts: readonly string[]): boolean {
  let url: URL;
  try {
    url = new URL(address, "https://here.invalid/");
  } catch {
    return false;
  }
  if (url.hostname === "here.invalid") return true;
  return hosts.some((host) => (host.startsWith("*.") ? url.hostname.endsWith(host.slice(1)) : url.hostname === host));
}
