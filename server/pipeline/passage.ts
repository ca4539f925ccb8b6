/** Offsets are UTF-16 code units; `end` is exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Replaces `span` of a passage's text with `replacement`. */
export interface Edit {
  readonly span: Span;
  readonly replacement: string;
}

/** A stretch of the text: `length` units at `start`, which stood in the original at `originalStart`, `originalLength` units long. */
interface Run {
  readonly start: number;
  readonly length: number;
  readonly originalStart: number;
  readonly originalLength: number;
}

/** A text that remembers where each of its characters stood before the guards rewrote it. */
export interface Passage {
  readonly text: string;
  readonly runs: readonly Run[];
}

/** `offset`: where `text` begins in the original, when it is a part of something longer. */
export function passage(text: string, offset = 0): Passage {
  return { text, runs: [{ start: 0, length: text.length, originalStart: offset, originalLength: text.length }] };
}

/** Applies `edits`, which must not overlap. One pass over text and runs. */
export function rewrite(source: Passage, edits: readonly Edit[]): Passage {
  let text = "";
  let taken = 0;
  const runs: Run[] = [];
  const keepUntil = (end: number): void => {
    for (let index = runAt(source.runs, taken); index < source.runs.length; index += 1) {
      const run = source.runs[index];
      if (run === undefined || run.start >= end) break;
      const start = Math.max(run.start, taken);
      const stop = Math.min(run.start + run.length, end);
      if (start < stop) runs.push({ start: text.length + (start - taken), length: stop - start, ...originalOf(run, start, stop) });
    }
    text += source.text.slice(taken, end);
    taken = end;
  };
  for (const { span, replacement } of edits.toSorted((a, b) => a.span.start - b.span.start)) {
    keepUntil(span.start);
    const original = spanInOriginal(source, span);
    runs.push({
      start: text.length,
      length: replacement.length,
      originalStart: original.start,
      originalLength: original.end - original.start,
    });
    text += replacement;
    taken = span.end;
  }
  keepUntil(source.text.length);
  return { text, runs };
}

/** Where `span` of the rewritten text stood in the original; a replacement stands for the whole of what it replaced. */
export function spanInOriginal(source: Passage, span: Span): Span {
  const { runs } = source;
  const from = runAt(runs, span.start);
  const [first, last] = [runs[from], runs[runAt(runs, span.end - 1)] ?? runs.at(-1)];
  if (first === undefined || last === undefined || first.start >= span.end) {
    const before = runs[from - 1];
    const at = before === undefined ? (runs[0]?.originalStart ?? 0) : before.originalStart + before.originalLength;
    return { start: at, end: at };
  }
  const head = originalOf(first, Math.max(first.start, span.start), first.start + first.length);
  const tail = originalOf(last, last.start, Math.min(last.start + last.length, span.end));
  return { start: head.originalStart, end: tail.originalStart + tail.originalLength };
}

/** Index of the first run that ends after `offset`; the number of runs when none does. Runs are in order, without gaps. */
function runAt(runs: readonly Run[], offset: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const run = runs[middle];
    if (run !== undefined && run.start + run.length <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function originalOf(run: Run, start: number, end: number): { originalStart: number; originalLength: number } {
  const replaced = run.length !== run.originalLength;
  return replaced
    ? { originalStart: run.originalStart, originalLength: run.originalLength }
    : { originalStart: run.originalStart + start - run.start, originalLength: end - start };
}
