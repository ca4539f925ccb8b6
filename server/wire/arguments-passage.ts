import { type Edit, type Passage, passage, rewrite } from "../pipeline/passage.ts";

/** Strings of a JSON text, and the white space between them. */
const pieces = /"(?:[^"\\]|\\.)*"|\s+/gu;
/** What may stand in a string for a character. A quote and a backslash keep theirs, so that strings end where they did. */
const escapes = /\\(?:u[0-9a-fA-F]{4}|.)/gu;

/**
 * Arguments of an earlier call as a guard reads them: with the characters that escapes stand for, each of which remembers where it stood. Text that is no
 * JSON stays as it is. `turnsOf` makes JSON of it again.
 */
export function argumentsPassage(json: string): Passage {
  const whole = passage(json);
  try {
    JSON.parse(json);
  } catch {
    return whole;
  }
  const edits = [...json.matchAll(pieces)].flatMap(({ 0: piece, index }): Edit[] => {
    if (!piece.startsWith('"')) return [{ span: { start: index, end: index + piece.length }, replacement: "" }];
    return [...piece.matchAll(escapes)].flatMap(({ 0: written, index: at }) => {
      const char = String(JSON.parse(`"${written}"`));
      if (char === '"' || char === "\\") return [];
      return [{ span: { start: index + at, end: index + at + written.length }, replacement: char }];
    });
  });
  return rewrite(whole, edits);
}
