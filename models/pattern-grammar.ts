import { type AST, RegExpParser } from "@eslint-community/regexpp";
import { EngineFault } from "./engine.ts";
import { either, unsupported } from "./grammar.ts";

/** llama.cpp writes a repetition out in full. */
const charactersMax = 2_000;
const last = 0x10ffff;
/** Characters that JSON writes with a backslash, and that a pattern may well ask for. */
const escaped = ['"', "\\", "\t", "\n", "\r"];

type Range = readonly [from: number, until: number];

const classes = {
  digit: rangesOf("09"),
  word: rangesOf("09", "AZ", "__", "az"),
  any: allBut(rangesOf("\n\n", "\r\r", "\u2028\u2029")),
  /** White space to every reader of patterns, and to some. */
  space: rangesOf("\t\n", "\r\r", "  "),
  someSpace: rangesOf(
    "\t\r",
    "  ",
    "\u00a0\u00a0",
    "\u1680\u1680",
    "\u2000\u200a",
    "\u2028\u2029",
    "\u202f\u202f",
    "\u205f\u205f",
    "\u3000\u3000",
    "\ufeff\ufeff",
  ),
};

/** Expression of a grammar, with how many characters its texts have, and how many it comes to written out. `choices`: places where a text may go on in several ways. */
interface Piece {
  readonly text: string;
  readonly shortest: number;
  readonly longest: number;
  readonly size: number;
  readonly choices: number;
}

/** What the patterns of a schema came to: it may name the same one thousands of times. */
export type Patterns = Map<unknown, Piece | EngineFault>;

/**
 * An expression for what stands between the quotes of JSON strings that match `pattern`, an ECMA 262 regular expression, and how many characters they have. It may
 * leave some of them out, such as control characters, and never lets one through that does not match. Throws `EngineFault` for what a grammar can't promise.
 * `known` keeps what it came to.
 */
export function patternGrammar(pattern: unknown, path: string, known: Patterns): Piece {
  const made = known.get(pattern) ?? pieceOrFault(pattern, path);
  known.set(pattern, made);
  if (made instanceof EngineFault) throw made;
  return made;
}

function pieceOrFault(pattern: unknown, path: string): Piece | EngineFault {
  try {
    return pieceOf(pattern, path);
  } catch (error) {
    if (error instanceof EngineFault) return error;
    throw error;
  }
}

function pieceOf(pattern: unknown, path: string): Piece {
  let characters = 0;
  const no = (what: string): Error => unsupported(`The schema's \`pattern\` at ${path} can't be honoured: it ${what}.`);
  const tooLong = (as = ""): Error => no(`comes to more than ${charactersMax} characters${as}`);
  const choice = (alternatives: readonly AST.Alternative[]): Piece => oneOf(alternatives.map(({ elements }) => sequence(elements)));
  const sequence = (elements: readonly AST.Element[]): Piece => inOrder(elements.map(element));
  const element = (one: AST.Element): Piece => {
    switch (one.type) {
      case "Character":
      case "CharacterClass":
      case "CharacterSet":
        characters += 1;
        if (characters > charactersMax) throw tooLong();
        return character(setOf(one));
      case "CapturingGroup":
        return choice(one.alternatives);
      case "Group":
        if (one.modifiers !== null) throw no(`has modifiers, as ${one.raw}`);
        return choice(one.alternatives);
      case "Quantifier":
        return one.max === 0 ? nothing : repeated(element(one.element), one);
      default:
        throw no(`holds ${one.raw}${one.type === "Assertion" ? " elsewhere than at its ends" : ""}`);
    }
  };
  const repeated = (piece: Piece, { min, max, raw }: AST.Quantifier): Piece => {
    if (piece.shortest === 0 && max > 1) throw no(`repeats what may be empty, as ${raw}`);
    const size = piece.size * Math.max(max === Number.POSITIVE_INFINITY ? min : max, 1);
    if (size > charactersMax) throw tooLong(`, as ${raw}`);
    const times = max === Number.POSITIVE_INFINITY ? `${min},` : min === max ? `${min}` : `${min},${max}`;
    const choices = (max > 1 ? 2 : 1) * piece.choices + (min === max ? 0 : 1);
    return { text: `(${piece.text}){${times}}`, shortest: piece.shortest * min, longest: piece.longest * max, size, choices };
  };
  // `inverted`: all but these are meant, so that what is doubtful is among them.
  const setOf = (one: AST.Character | AST.CharacterClass | AST.CharacterSet, inverted = false): readonly Range[] => {
    if (one.type === "Character") return [[one.value, one.value]];
    if (one.type === "CharacterSet") {
      if (one.kind === "property") throw no(`holds ${one.raw}`);
      if (one.kind === "any") return classes.any;
      const named = one.kind === "space" && one.negate !== inverted ? classes.someSpace : classes[one.kind];
      return one.negate ? allBut(named) : named;
    }
    const sets = one.elements.flatMap((part): readonly Range[] => {
      if (part.type === "CharacterClassRange") return [[part.min.value, part.max.value]];
      if (part.type === "Character" || part.type === "CharacterSet") return setOf(part, one.negate);
      throw no(`holds ${part.raw}`);
    });
    return one.negate ? allBut(sets) : sets;
  };
  const character = (set: readonly Range[]): Piece => {
    const written = escaped.filter((char) => isIn(char, set)).map((char) => JSON.stringify(JSON.stringify(char).slice(1, -1)));
    const plain = allBut([...allBut(set), ...notPlain]).map(
      ([from, until]) => `${classCharacter(from)}${until > from ? `-${classCharacter(until)}` : ""}`,
    );
    const choices = [...(plain.length > 0 ? [`[${plain.join("")}]`] : []), ...written];
    if (choices.length === 0) throw no("asks for a character that no answer has");
    return { text: either(choices), shortest: 1, longest: 1, size: 1, choices: 0 };
  };
  const ends = ({ elements }: AST.Alternative): Piece => {
    const [first, end] = [elements[0], elements.at(-1)];
    const begins = first?.type === "Assertion" && first.kind === "start";
    const stops = end?.type === "Assertion" && end.kind === "end";
    const inner = sequence(elements.slice(begins ? 1 : 0, stops ? -1 : undefined));
    return inOrder([...(begins ? [] : [anything]), inner, ...(stops ? [] : [anything])]);
  };
  const made = oneOf(parsed(pattern, no).alternatives.map(ends));
  if (made.size > charactersMax) throw tooLong();
  return made;
}

const nothing: Piece = { text: '""', shortest: 0, longest: 0, size: 0, choices: 0 };
const anything: Piece = { text: "char*", shortest: 0, longest: Number.POSITIVE_INFINITY, size: 1, choices: 1 };
/** Control characters, halves of characters, and what stands for something in JSON. */
const notPlain = [...rangesOf("\u0000\u001f", '""', "\\\\", "\u007f\u007f"), [0xd800, 0xdfff] as const];

function parsed(pattern: unknown, no: (what: string) => Error): AST.Pattern {
  if (typeof pattern !== "string") throw no("is no text");
  const parser = new RegExpParser({ ecmaVersion: 2025 });
  for (const unicode of [true, false]) {
    try {
      return parser.parsePattern(pattern, 0, pattern.length, { unicode });
    } catch {
      // Older patterns have backslashes where none are needed.
    }
  }
  throw no("is no regular expression");
}

function oneOf(pieces: readonly Piece[]): Piece {
  return {
    text: either(pieces.map(({ text }) => text)),
    shortest: Math.min(...pieces.map(({ shortest }) => shortest)),
    longest: Math.max(...pieces.map(({ longest }) => longest)),
    size: sum(pieces.map(({ size }) => size)),
    choices: sum(pieces.map(({ choices }) => choices)) + pieces.length - 1,
  };
}

function inOrder(pieces: readonly Piece[]): Piece {
  return {
    text: pieces.length === 0 ? '""' : pieces.map(({ text }) => text).join(" "),
    shortest: sum(pieces.map(({ shortest }) => shortest)),
    longest: sum(pieces.map(({ longest }) => longest)),
    size: sum(pieces.map(({ size }) => size)),
    choices: sum(pieces.map(({ choices }) => choices)),
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

/** Each of two characters: the first and the last of a range. */
function rangesOf(...ends: readonly string[]): readonly Range[] {
  return ends.map((pair): Range => [pair.charCodeAt(0), pair.charCodeAt(1)]);
}

function allBut(ranges: readonly Range[]): readonly Range[] {
  const left: Range[] = [];
  let at = 0;
  for (const [from, until] of ranges.toSorted(([a], [b]) => a - b)) {
    if (from > at) left.push([at, from - 1]);
    at = Math.max(at, until + 1);
  }
  return at <= last ? [...left, [at, last]] : left;
}

function isIn(char: string, ranges: readonly Range[]): boolean {
  const code = char.charCodeAt(0);
  return ranges.some(([from, until]) => code >= from && code <= until);
}

/** A character of a class, as a grammar has it. */
function classCharacter(code: number): string {
  const hex = code.toString(16).toUpperCase();
  if (/[0-9A-Za-z]/u.test(String.fromCodePoint(code))) return String.fromCodePoint(code);
  return code < 0x100 ? `\\x${hex.padStart(2, "0")}` : code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}
