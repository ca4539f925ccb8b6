/** A stretch of tokens: from the one at `from` up to, not including, the one at `to`. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

/** Windows of at most `size` tokens over `count` of them, in order, each sharing `overlap` with the one before; together they cover every token. */
export function windowsOf(count: number, size: number, overlap: number): Window[] {
  const windows: Window[] = [];
  for (let from = 0; from < count; from += size - overlap) {
    windows.push({ from, to: Math.min(count, from + size) });
    if (from + size >= count) break;
  }
  return windows;
}

/** The part of each window that is its own: where two windows share tokens, each has the half that lies further from its edge. */
export function ownParts(windows: readonly Window[]): Window[] {
  return windows.map(({ from, to }, index) => {
    const before = windows[index - 1];
    const after = windows[index + 1];
    return {
      from: before === undefined ? from : middle(from, before.to),
      to: after === undefined ? to : middle(after.from, to),
    };
  });
}

function middle(from: number, to: number): number {
  return (from + to) >>> 1;
}
