/** Quoted texts of a grammar (GBNF), and its sets of characters. */
const parts = /"((?:[^"\\]|\\.)*)"|\[(\^?)((?:[^\]\\]|\\.)*)\]/gsu;
/** A character of one of them, as it stands or escaped. */
const characters = /\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|(.))|(.)/gsu;

/**
 * A character that a grammar asks for and that a vocabulary can't write: there llama.cpp has no token left to take, and ends on it. Undefined when there is
 * none. Of a set one end of its ranges is enough. `isWritten`: whether a character comes back out of the tokens it is made into.
 */
export function unwritten(grammar: string, isWritten: (char: string) => boolean): string | undefined {
  const known = new Map<string, boolean>();
  const is = (char: string): boolean => {
    const answer = known.get(char) ?? (char < "\x80" || isWritten(char));
    known.set(char, answer);
    return answer;
  };
  for (const [, text, not, set = ""] of grammar.matchAll(parts)) {
    const chars = charactersOf(text ?? set);
    const missing = chars.find((char) => !is(char));
    const isMet = missing === undefined || (text === undefined && (not !== "" || chars.some((char) => char !== "-" && is(char))));
    if (!isMet) return missing;
  }
  return undefined;
}

function charactersOf(written: string): string[] {
  return [...written.matchAll(characters)].map(([, four, eight, two, escaped, plain]) => {
    const number = four ?? eight ?? two;
    return number === undefined ? (escaped ?? plain ?? "") : String.fromCodePoint(Number.parseInt(number, 16));
  });
}
