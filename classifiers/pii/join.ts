import type { Entity } from "./entity.ts";

/** One list out of several, the most trusted first: where two overlap the longer stays, of two as long the one that is trusted more. */
export function join(...byTrust: readonly (readonly Entity[])[]): Entity[] {
  const ranked = byTrust
    .flatMap((entities, trust) => entities.map((entity) => ({ entity, trust, length: entity.end - entity.start })))
    .toSorted((a, b) => b.length - a.length || a.trust - b.trust || a.entity.start - b.entity.start);
  const kept: Entity[] = [];
  for (const { entity } of ranked) {
    const at = indexFrom(kept, entity.start);
    const before = kept[at - 1];
    const after = kept[at];
    if ((before === undefined || before.end <= entity.start) && (after === undefined || after.start >= entity.end))
      kept.splice(at, 0, entity);
  }
  return kept;
}

/** Index of the first that starts at `start` or later. */
function indexFrom(sorted: readonly Entity[], start: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle]?.start ?? 0) < start) low = middle + 1;
    else high = middle;
  }
  return low;
}
