import { type Edit, type Passage, passage, rewrite } from "../pipeline/passage.ts";

/** A quoted cell, by its place; it ends anywhere, so that none without an end is looked at twice. */
const quoted = /(?<![^,;|\t\n])"(?:[^"]|"")*"?/gu;

/** A CSV file as it stands, without the marks of quotation that would stand between its words. */
export function readCsv(source: string): Passage {
  const edits = [...source.matchAll(quoted)].flatMap(({ index, 0: cell }) =>
    [...cell.matchAll(/""|"/gu)].map(({ index: at, 0: marks }): Edit => {
      const isOutside = at === 0 || at + marks.length === cell.length;
      return { span: { start: index + at, end: index + at + marks.length }, replacement: isOutside || marks.length === 1 ? "" : '"' };
    }),
  );
  return rewrite(passage(source), edits);
}
