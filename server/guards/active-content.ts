import { withoutEntities } from "../entities.ts";
import type { Answered, SegmentGuard } from "../pipeline/guard.ts";
import type { Span } from "../pipeline/passage.ts";
import type { Wait } from "../pipeline/segment.ts";
import { acting, apart, type Detection, notice, segmentGuard } from "./detector.ts";
import { tagAt, tagCharsMax } from "./html-text.ts";
import { MarkdownCode } from "./markdown-code.ts";

export interface ActiveContentSettings {
  readonly action: "mask" | "block" | "shadow";
}

/** Where something may begin: a tag, a comment, an address between angles, or the address of a Markdown link or definition. */
const beginnings = /<(?=[a-z/!?])|\](?:\(|:)/giu;

const elements =
  /<\/?(?:[\w-]{1,20}:)?(?:script|style|iframe|frame|frameset|object|embed|applet|base|meta|link|portal|fencedframe)(?![\w-])|<\?xml-stylesheet/iu;
const handler = /[\s"'/]on[a-z]{2,30}\s*=/iu;
const animated = /attributename\s*=\s*["']?\s*(?:on|href|xlink)/iu;
/** What may be one may stand in the value of another, so none takes its value away from the next. */
const styles = /[\s"'/]style\s*=\s*(?=("[^"]*|'[^']*|[^\s>]*))/giu;
/** Functions that load nothing by themselves. */
const computing =
  /(?<![\w\\-])(?:rgba?|hsla?|calc|var|min|max|clamp|(?:rotate|scale|translate)(?:3d|[xyz])?|(?:linear|radial)-gradient)\(/giu;
const scheme = /(?:java|vb|live)script:|data:(?:text\/(?:html|xml)|application\/(?:xhtml|xml)|image\/svg)/u;
const linked = /\](?:\(|:)[<>]*(?:(?:java|vb|live)script:|data:(?:text\/(?:html|xml)|application\/x|image\/svg))/u;
const schemes = ["javascript:", "vbscript:", "livescript:", "data:text/html", "data:text/xml", "data:application/x", "data:image/svg"];

const name = "active_content";

/** Output gate: what would run where the answer is shown as HTML or Markdown is taken out, tag by tag; code in Markdown is text, and stays. */
export function activeContentInAnswer({ action }: ActiveContentSettings): SegmentGuard {
  return guardOf(action, (text, span) => ({ span, replacement: notice("active content", text, span) }));
}

/**
 * Behind all that takes something out: what was code only as long as that stood. It gets a space behind its first character, and is text for everybody. Nothing
 * is taken out, so no other code, picture or link comes of it.
 */
export function activeContentLeft({ action }: ActiveContentSettings): SegmentGuard {
  return guardOf(action, defused);
}

type Ending = (text: string, span: Span) => Pick<Detection, "span" | "replacement">;

const defused: Ending = (text, { start }) => ({ span: { start, end: start + 1 }, replacement: `${text[start]} ` });

function guardOf(action: ActiveContentSettings["action"], ending: Ending): SegmentGuard {
  const codes = new WeakMap<Answered, MarkdownCode>();
  return {
    name,
    wait: waitForActiveContent,
    rewrites: true,
    inspect(segment, asking) {
      const { text: released } = segment.released;
      const before = released.slice(-tagCharsMax);
      const earlier = released.slice(0, released.length - before.length);
      const { answer = { isJson: false } } = segment;
      const code = answer.isJson ? undefined : (codes.get(answer) ?? new MarkdownCode());
      if (code !== undefined) codes.set(answer, code);
      const detect = (text: string): Detection[] =>
        activeIn(text, earlier, { from: before.length, code }).map(({ isEndless, ...span }) => ({
          label: "ACTIVE_CONTENT",
          ...(isEndless
            ? { action: action === "shadow" ? action : "rewrite", ...defused(text, span) }
            : { action: acting[action], ...ending(text, span) }),
        }));
      return segmentGuard(name, name, (text) => apart(detect(text)), waitForActiveContent).inspect({ ...segment, before }, asking);
    },
  };
}

/** What ends behind `from`. `earlier`: what stands before `text`, and decides whether it is code. */
function activeIn(
  text: string,
  earlier: string,
  { from, code }: { from: number; code: MarkdownCode | undefined },
): (Span & Pick<Piece, "isEndless">)[] {
  const found = [...piecesOf(text)].filter((piece) => (piece.end ?? text.length) > from && isActive(text, piece));
  if (found.length === 0) return [];
  const isCode = code?.in(earlier + text) ?? (() => false);
  return found.filter(({ start }) => !isCode(earlier.length + start)).map((piece) => ({ ...piece, end: piece.end ?? text.length }));
}

/** Holds back what may become active, and what is, until the end of its line says whether it is code. */
const waitForActiveContent: Wait = (text) => {
  const ended: Piece[] = [];
  let open = /[<\]]$/u.test(text) ? text.length - 1 : text.length;
  for (const piece of piecesOf(text)) {
    const { start, end } = piece;
    if (end === undefined ? mayBecomeActive(text.slice(start)) : isActive(text, piece) && !text.includes("\n", end)) {
      open = start;
      break;
    }
    ended.push(piece);
  }
  // What ends only where the text is cut now is open again.
  for (const { start, end = open } of ended.toReversed()) if (end >= open && mayBecomeActive(text.slice(start, open))) open = start;
  return open;
};

interface Piece {
  readonly start: number;
  /** Undefined while more text may decide it. */
  readonly end: number | undefined;
  /** A tag that does not end within what is waited for, as `<` in prose: whatever the policy says, it gets a space and is none. */
  readonly isEndless?: boolean;
}

/** One begins at each place where something may, also inside of another: where that ends is read in several ways. */
function* piecesOf(text: string): Generator<Piece> {
  for (const { index } of text.matchAll(beginnings)) yield pieceAt(text, index);
}

function pieceAt(text: string, start: number): Piece {
  if (text[start] === "]") {
    const rest = text.slice(start, start + tagCharsMax);
    // An address may stand in the next line, in a quotation behind its marks.
    const from = 2 + (/^[^\S\n]*(?:\n(?:[^\S\n]|>)*)?/u.exec(rest.slice(2))?.[0].length ?? 0);
    const end = /[)\n\]]|(?<=.)</u.exec(rest.slice(from));
    return { start, end: end === null ? (rest.length === tagCharsMax ? start + tagCharsMax : undefined) : start + from + end.index };
  }
  const { end, isOpen } = tagAt(text, start);
  if (isOpen) return { start, end: undefined };
  return end === undefined ? { start, end: start + 1, isEndless: /[a-z]/iu.test(text[start + 1] ?? "") } : { start, end };
}

function isActive(text: string, { start, end = text.length, isEndless = false }: Piece): boolean {
  const piece = text.slice(start, end);
  const read = plain(piece);
  if (isEndless || linked.test(read)) return true;
  return (
    piece.includes("<") && (elements.test(piece) || handler.test(piece) || animated.test(piece) || isStyled(piece) || scheme.test(read))
  );
}

/** With another function, an escape or a rule: what a style loads needs one. */
function isStyled(tag: string): boolean {
  return [...tag.matchAll(styles)].some(([, value = ""]) => /[(\\@]/u.test(withoutEntities(value).replaceAll(computing, "")));
}

/** A tag may, an address that has begun as a harmless one may not. */
function mayBecomeActive(piece: string): boolean {
  // An entity that has only begun may become any character.
  const address = addressIn(piece.replace(/&[#\w]{0,10}$/u, ""));
  return piece.includes("<") || schemes.some((one) => one.startsWith(address) || address.startsWith(one));
}

function addressIn(piece: string): string {
  return plain(piece.slice(2)).replace(/^[<>]+/u, "");
}

/** As a browser reads an address: entities resolved, white space, control characters and escapes dropped. */
function plain(piece: string): string {
  return withoutEntities(piece)
    .replaceAll(/[\s\p{Cc}\p{Cf}\\]/gu, "")
    .toLowerCase();
}
