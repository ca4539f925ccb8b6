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

/** A span of an original. `part`: of what it counts the offsets, and what stood there, where that is not the text of the message itself. */
export interface OriginalSpan extends Span {
  readonly part?: string;
}

/** A stretch of the text: `length` units at `start`, which stood in the original, or a part of it, at `originalStart`, `originalLength` units long. */
interface Run {
  readonly start: number;
  readonly length: number;
  readonly originalStart: number;
  readonly originalLength: number;
  readonly part?: string;
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

/** A text that stands in no original. */
export function added(text: string): Passage {
  return { text, runs: [{ start: 0, length: text.length, originalStart: 0, originalLength: 0 }] };
}

/** One text of several, with `separator` between them. */
export function joined(passages: readonly Passage[], separator: string): Passage {
  const all = new GrowingPassage();
  for (const one of passages) {
    if (all.runs.length > 0 && separator !== "") {
      const { originalStart, part } = one.runs[0] ?? { originalStart: 0 };
      const run = { start: 0, length: separator.length, originalStart, originalLength: 0 };
      all.add({ text: separator, runs: [part === undefined ? run : { ...run, part }] });
    }
    all.add(one);
  }
  return { text: all.text, runs: all.runs };
}

/** Whether the text of `next`, which stands behind that of `run`, stood there in the original too. */
function goesOn(run: Run, next: Run): boolean {
  const isUnchanged = run.length === run.originalLength && next.length === next.originalLength;
  return isUnchanged && run.originalStart + run.originalLength === next.originalStart && run.part === next.part;
}

function longer(run: Run, length: number): Run {
  return { ...run, length: run.length + length, originalLength: run.originalLength + length };
}

/** A passage to which more is added at the end. */
export class GrowingPassage implements Passage {
  text = "";
  readonly runs: Run[] = [];

  add({ text, runs }: Passage): void {
    for (const run of runs) {
      const last = this.runs.at(-1);
      if (last !== undefined && goesOn(last, run)) this.runs[this.runs.length - 1] = longer(last, run.length);
      else this.runs.push({ ...run, start: run.start + this.text.length });
    }
    this.text += text;
  }
}

/** A stretch of a passage. */
export function slice({ text, runs }: Passage, start: number, end = text.length): Passage {
  return { text: text.slice(start, end), runs: runsWithin(runs, { start, end }, 0) };
}

/** A passage whose offsets count in `part`; a part that it names itself stands behind. */
export function within(part: string, { text, runs }: Passage): Passage {
  return { text, runs: runs.map((run) => ({ ...run, part: run.part === undefined ? part : `${part}, ${run.part}` })) };
}

/** Applies `edits`, which must not overlap. One pass over text and runs. */
export function rewrite(source: Passage, edits: readonly Edit[]): Passage {
  let text = "";
  let taken = 0;
  const runs: Run[] = [];
  const keepUntil = (end: number): void => {
    for (const run of runsWithin(source.runs, { start: taken, end }, text.length)) runs.push(run);
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
      ...(original.part === undefined ? {} : { part: original.part }),
    });
    text += replacement;
    taken = span.end;
  }
  keepUntil(source.text.length);
  return { text, runs };
}

/** The runs of a stretch, as they stand where it begins at `offset`. */
function runsWithin(all: readonly Run[], span: Span, offset: number): Run[] {
  const runs: Run[] = [];
  for (let index = runAt(all, span.start); index < all.length; index += 1) {
    const run = all[index];
    if (run === undefined || run.start >= span.end) break;
    const start = Math.max(run.start, span.start);
    const stop = Math.min(run.start + run.length, span.end);
    if (start < stop) runs.push({ start: offset + start - span.start, length: stop - start, ...originalOf(run, start, stop) });
  }
  return runs;
}

/**
 * Where `span` of the rewritten text stood in the original; a replacement stands for the whole of what it replaced. Of several parts it is the one in which
 * it begins; what was read in another order stands for all between.
 */
export function spanInOriginal(source: Passage, span: Span): OriginalSpan {
  const { runs } = source;
  const from = runAt(runs, span.start);
  const first = runs[from];
  if (first === undefined || first.start >= span.end) {
    const { part, ...before } = runs[from - 1] ?? { originalStart: runs[0]?.originalStart ?? 0, originalLength: 0, part: runs[0]?.part };
    const at = before.originalStart + before.originalLength;
    return { start: at, end: at, ...(part === undefined ? {} : { part }) };
  }
  let [start, end] = [Number.POSITIVE_INFINITY, 0];
  for (let index = from; index < runs.length; index += 1) {
    const run = runs[index];
    if (run === undefined || run.start >= span.end) break;
    if (run.part !== first.part) continue;
    const stood = originalOf(run, Math.max(run.start, span.start), Math.min(run.start + run.length, span.end));
    start = Math.min(start, stood.originalStart);
    end = Math.max(end, stood.originalStart + stood.originalLength);
  }
  return { start, end, ...(first.part === undefined ? {} : { part: first.part }) };
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

function originalOf({ part, ...run }: Run, start: number, end: number): Pick<Run, "originalStart" | "originalLength" | "part"> {
  const replaced = run.length !== run.originalLength;
  return {
    ...(part === undefined ? {} : { part }),
    ...(replaced
      ? { originalStart: run.originalStart, originalLength: run.originalLength }
      : { originalStart: run.originalStart + start - run.start, originalLength: end - start }),
  };
}
