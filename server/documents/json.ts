import { type Edit, type Passage, passage, rewrite } from "../pipeline/passage.ts";

/** A string ends anywhere, so that none without an end is looked at twice. */
const pieces = /"(?:[^"\\\n]|\\.)*"?|[\s{}[\],]+/gu;
const indentMax = 16;

/** A JSON file, or one with a JSON value a line, as lines `key: value`, indented as they lie in each other, with what is escaped as it reads. */
export function readJson(source: string): Passage {
  let depth = 0;
  const edits = [...source.matchAll(pieces)].flatMap(({ index, 0: piece }): Edit[] => {
    const edit = (from: number, to: number, replacement: string): Edit => ({ span: { start: index + from, end: index + to }, replacement });
    if (piece.startsWith('"')) {
      const value = piece.includes("\\") ? unescaped(piece) : undefined;
      if (value !== undefined) return [edit(0, piece.length, value)];
      return [edit(0, 1, ""), ...(piece.length > 1 && piece.endsWith('"') ? [edit(piece.length - 1, piece.length, "")] : [])];
    }
    for (const char of piece) depth += char === "{" || char === "[" ? 1 : char === "}" || char === "]" ? -1 : 0;
    if (piece.trim() === "" && !piece.includes("\n")) return [];
    return [edit(0, piece.length, `\n${"  ".repeat(Math.min(indentMax, Math.max(0, depth - 1)))}`)];
  });
  return rewrite(passage(source), edits);
}

function unescaped(literal: string): string | undefined {
  try {
    return String(JSON.parse(literal));
  } catch {
    return undefined;
  }
}
