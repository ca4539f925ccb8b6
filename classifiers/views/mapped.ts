/** A text that remembers where in the original each of its UTF-16 code units stood: from `starts[i]` to `ends[i]`, exclusive. */
export interface Mapped {
  readonly text: string;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

/** A stretch of a text that reads as `replacement`. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
}

export function mapped(text: string): Mapped {
  const starts = Int32Array.from({ length: text.length }, (_, index) => index);
  return { text, starts, ends: starts.map((start) => start + 1) };
}

/** Applies `edits`, which are in order and do not overlap; what takes the place of a stretch stands for the whole of it. The same object when there are none. */
export function edited(source: Mapped, edits: readonly Edit[]): Mapped {
  if (edits.length === 0) return source;
  const length = edits.reduce((sum, { start, end, replacement }) => sum + replacement.length - (end - start), source.text.length);
  const starts = new Int32Array(length);
  const ends = new Int32Array(length);
  let text = "";
  let taken = 0;
  const keepUntil = (end: number): void => {
    starts.set(source.starts.subarray(taken, end), text.length);
    ends.set(source.ends.subarray(taken, end), text.length);
    text += source.text.slice(taken, end);
    taken = end;
  };
  for (const { start, end, replacement } of edits) {
    keepUntil(start);
    starts.fill(source.starts[start] ?? 0, text.length, text.length + replacement.length);
    ends.fill(source.ends[end - 1] ?? 0, text.length, text.length + replacement.length);
    text += replacement;
    taken = end;
  }
  keepUntil(source.text.length);
  return { text, starts, ends };
}

/** Where a stretch of `source` stands in the original. */
export function inOriginal({ starts, ends }: Mapped, start: number, end: number): { start: number; end: number } {
  return { start: starts[start] ?? 0, end: ends[end - 1] ?? starts[start] ?? 0 };
}

/** The edits that `replacement` makes of the matches of a global expression; `undefined` leaves one as it is. */
export function editsOf(text: string, expression: RegExp, replacement: (match: RegExpExecArray) => string | undefined): Edit[] {
  const edits: Edit[] = [];
  for (const match of text.matchAll(expression)) {
    const found = replacement(match);
    if (found !== undefined && found !== match[0])
      edits.push({ start: match.index, end: match.index + match[0].length, replacement: found });
  }
  return edits;
}

/** Edits in order: all of `first`, and of `others` those that overlap none of them. */
export function together(first: readonly Edit[], others: readonly Edit[]): Edit[] {
  let next = 0;
  const apart = others.filter(({ start, end }) => {
    while ((first[next]?.end ?? end) <= start) next += 1;
    return (first[next]?.start ?? end) >= end;
  });
  return [...first, ...apart].toSorted((a, b) => a.start - b.start);
}
