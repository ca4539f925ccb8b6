/**
 * Whether an offset of a Markdown text lies in a code fence or in inline code. It says yes only where every renderer agrees: after anything that reads in two
 * ways (a fence behind a list mark or in HTML, an open HTML block) it says no to the end of the text. Linear time.
 */
export function markdownCode(text: string): (offset: number) => boolean {
  const spans: { start: number; end: number }[] = [];
  let fence: { readonly mark: string; readonly indent: number } | undefined;
  let doubtful = false;
  /** Inside of an HTML block, which ends at an empty line. */
  let html = false;
  /** A backtick of this paragraph has no partner in its line. */
  let unpaired = false;
  let at = 0;
  for (const line of text.split("\n")) {
    const start = at;
    at += line.length + 1;
    if (doubtful) break;
    const [, indent = "", mark = "", info = ""] = /^([ \t]*)(`{3,}|~{3,})(.*)$/u.exec(line) ?? [];
    const isEmpty = line.trim() === "";
    if (fence !== undefined) {
      const closes = mark !== "" && mark[0] === fence.mark[0] && mark.length >= fence.mark.length && info.trim() === "";
      if (!isEmpty && fence.indent > 0 && !line.startsWith(" ".repeat(fence.indent))) doubtful = true;
      else if (closes && /^ {0,3}$/u.test(indent)) fence = undefined;
      else if (closes && (fence.indent > 0 || indent.includes("\t"))) doubtful = true;
      else spans.push({ start, end: at });
      continue;
    }
    if (isEmpty) {
      html = false;
      unpaired = false;
      continue;
    }
    if (mark !== "" && !(mark.startsWith("`") && info.includes("`"))) {
      if (html || !/^ {0,3}$/u.test(indent)) doubtful = true;
      else fence = { mark, indent: indent.length };
      continue;
    }
    if (/^[\s>*+-]*(?:\d{1,9}[.)]\s*)?[\s>*+-]*(?:`{3,}(?!.*`)|~{3})/u.test(line)) doubtful = true;
    if (/^[\s>*+\-\d.)]*<(?:pre|script|style|textarea|!|\?)/iu.test(line)) doubtful = true;
    if (/^[\s>*+\-\d.)]*<[a-z/]/iu.test(line)) html = true;
    if (doubtful || html) continue;
    unpaired = inlineCode(line, start, unpaired, spans);
  }
  return (offset) => {
    let low = 0;
    let high = spans.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((spans[middle]?.end ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    return (spans[low]?.start ?? Number.POSITIVE_INFINITY) <= offset;
  };
}

/** Adds the code of one line to `spans`; returns whether a backtick was left without a partner. A table's cells end at `|`, also in code. */
function inlineCode(line: string, offset: number, unpaired: boolean, spans: { start: number; end: number }[]): boolean {
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
