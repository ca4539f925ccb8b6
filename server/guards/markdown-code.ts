import type { Span } from "../pipeline/passage.ts";

/** What the lines before say of the next. */
interface State {
  readonly fence: { readonly mark: string; readonly indent: number } | undefined;
  readonly doubtful: boolean;
  /** Inside of an HTML block, which ends at an empty line. */
  readonly html: boolean;
  /** A backtick of this paragraph has no partner in its line. */
  readonly unpaired: boolean;
}

const beginning: State = { fence: undefined, doubtful: false, html: false, unpaired: false };

/**
 * Whether an offset of a Markdown text lies in a code fence or in inline code. It says yes only where every renderer agrees: after anything that reads in two
 * ways (a fence behind a list mark or in HTML, an open HTML block) it says no to the end of the text. Linear time, also where a text is asked about as it grows:
 * a line is read once.
 */
export class MarkdownCode {
  #read = "";
  #state = beginning;
  #spans: Span[] = [];

  in(text: string): (offset: number) => boolean {
    if (text.slice(0, this.#read.length) !== this.#read) {
      this.#read = "";
      this.#state = beginning;
      this.#spans = [];
    }
    const spans = this.#spans;
    const end = text.lastIndexOf("\n") + 1;
    for (let at = this.#read.length; at < end; ) {
      const next = text.indexOf("\n", at) + 1;
      this.#state = readLine(text.slice(at, next - 1), at, this.#state, spans);
      at = next;
    }
    this.#read = text.slice(0, end);
    const open: Span[] = [];
    readLine(text.slice(end), end, this.#state, open);
    return (offset) => isWithin(offset < end ? spans : open, offset);
  }
}

/** Spans are in order. */
function isWithin(spans: readonly Span[], offset: number): boolean {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((spans[middle]?.end ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  return (spans[low]?.start ?? Number.POSITIVE_INFINITY) <= offset;
}

/** Adds the code of one line, which begins at `start`, to `spans`. */
function readLine(line: string, start: number, state: State, spans: Span[]): State {
  const { fence, doubtful, html, unpaired } = state;
  if (doubtful) return state;
  const inDoubt = { ...state, doubtful: true };
  const [, indent = "", mark = "", info = ""] = /^([ \t]*)(`{3,}|~{3,})(.*)$/u.exec(line) ?? [];
  const isEmpty = line.trim() === "";
  if (fence !== undefined) {
    const closes = mark !== "" && mark[0] === fence.mark[0] && mark.length >= fence.mark.length && info.trim() === "";
    if (!isEmpty && fence.indent > 0 && !line.startsWith(" ".repeat(fence.indent))) return inDoubt;
    if (closes && /^ {0,3}$/u.test(indent)) return { ...state, fence: undefined };
    if (closes && (fence.indent > 0 || indent.includes("\t"))) return inDoubt;
    spans.push({ start, end: start + line.length + 1 });
    return state;
  }
  if (isEmpty) return beginning;
  if (mark !== "" && !(mark.startsWith("`") && info.includes("`"))) {
    return html || !/^ {0,3}$/u.test(indent) ? inDoubt : { ...state, fence: { mark, indent: indent.length } };
  }
  if (/^[\s>*+-]*(?:\d{1,9}[.)]\s*)?[\s>*+-]*(?:`{3,}(?!.*`)|~{3})/u.test(line)) return inDoubt;
  if (/^[\s>*+\-\d.)]*<(?:pre|script|style|textarea|!|\?)/iu.test(line)) return inDoubt;
  if (html || /^[\s>*+\-\d.)]*<[a-z/]/iu.test(line)) return { ...state, html: true };
  return { ...state, unpaired: inlineCode(line, start, unpaired, spans) };
}

/** Adds the code of one line to `spans`; returns whether a backtick was left without a partner. A table's cells end at `|`, also in code. */
function inlineCode(line: string, offset: number, unpaired: boolean, spans: Span[]): boolean {
  const runs = [...line.matchAll(/`+/gu)];
  for (let index = 0; index < runs.length && !unpaired; index += 1) {
    const open = runs[index];
    if (open === undefined) break;
    if (line[open.index - 1] === "\\") return true;
    // A tag that begins before may hold the backtick in an attribute.
    if (/<[a-z/!?][^>]*$/iu.test(line.slice(0, open.index))) return true;
    const partner = runs.findIndex((run, other) => other > index && run[0].length === open[0].length);
    const close = runs[partner];
    if (close === undefined) return true;
    const end = close.index + close[0].length;
    if (!line.slice(open.index, end).includes("|")) spans.push({ start: offset + open.index, end: offset + end });
    index = partner;
  }
  return unpaired;
}
