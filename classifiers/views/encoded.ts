import { isUtf8 } from "node:buffer";
import { type Edit, editsOf, together } from "./mapped.ts";

/** Longest piece that is decoded, in characters of the encoded text. */
const encodedMax = 98_304;

/** Share of what was decoded that must be letters, digits, common signs and spaces for it to be a text. */
const textShareMin = 0.9;

/** A text in base64 never begins with a sign. It may be wrapped at any width. */
const base64 = /(?<![A-Za-z0-9])[A-Za-z0-9](?:(?:\r?\n)?[A-Za-z0-9+/_-]){11,}={0,2}/gu;
const hex = /(?<![A-Za-z0-9])(?:0x)?(?:[0-9a-f]{2}(?:[ ,:-]|\r?\n)?(?:0x)?){8,}(?![A-Za-z0-9])/giu;
const escaped = /\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\u\{[0-9a-f]{1,6}\}/giu;
/** Octal ones must stand in a row: one alone may be part of a path. */
const octals = new RegExp(`(?:\\\\[0-7]{3}|${escaped.source}){3,}`, "giu");
const word = /[^\s"'<>]{9,}/gu;
const entity = /&(?:(?:#\d{1,7}|#x[0-9a-f]{1,6});?|[a-z]{2,14};)/giu;
const line = /[^\n]{9,}(?:(?<==\r?)\n[^\n]+)*/gu;
const binary = /(?<!\d)(?:[01]{8}[ ,]?){4,}(?!\d)/gu;
const decimal = /(?<![\d.])(?:\d{2,3}[ ,;]{1,2}){7,}\d{2,3}(?![\d.])/gu;

/** What each encoded stretch of `text` says, where that is a text. */
export function encodedEdits(text: string): Edit[] {
  const runs = encodings.reduce<Edit[]>((edits, { expression, decode }) => {
    const found = editsOf(text, expression, ([run]) => (run.length > encodedMax ? undefined : readable(decode(run))));
    return together(edits, found);
  }, []);
  return [escaped, entity].reduce((edits, kind) => together(edits, singlesOf(text, kind)), runs);
}

/** One in a word hides the word, so each is taken by itself, in a text that has several. */
function singlesOf(text: string, kind: RegExp): Edit[] {
  const edits = editsOf(text, kind, ([one]) => unescaped(one));
  return edits.length < escapedMin ? [] : edits;
}

/** Where two find the same stretch, the first is taken. */
const encodings: readonly { readonly expression: RegExp; readonly decode: (run: string) => string | Uint8Array | undefined }[] = [
  { expression: octals, decode: unescaped },
  { expression: word, decode: (run) => bytesOf(run, /%([0-9a-f]{2})/giu) },
  { expression: line, decode: (run) => bytesOf(run.replaceAll(/=\r?\n/gu, ""), /=([0-9A-F]{2})/gu) },
  { expression: binary, decode: (run) => Uint8Array.from(run.match(/[01]{8}/gu) ?? [], (byte) => Number.parseInt(byte, 2)) },
  { expression: hex, decode: (run) => Buffer.from(run.replaceAll(/0x|[\s,:-]/giu, ""), "hex") },
  { expression: decimal, decode: (run) => Uint8Array.from(run.match(/\d+/gu) ?? [], Number) },
  { expression: base64, decode: fromBase64 },
];

const named: Readonly<Record<string, string>> = {
  ...{ amp: "&", apos: "'", colon: ":", comma: ",", commat: "@", excl: "!", gt: ">", hyphen: "-", lowbar: "_", lpar: "(", lt: "<" },
  ...{ num: "#", period: ".", quest: "?", quot: '"', rpar: ")", semi: ";", sol: "/" },
  ...{ emsp: " ", ensp: " ", nbsp: " ", newline: "\n", tab: "\t", thinsp: " ", shy: "", zerowidthspace: "", zwj: "", zwnj: "" },
};

/** With the characters that escapes of strings and entities of HTML stand for. */
function unescaped(run: string): string {
  return run.replaceAll(
    /\\([0-7]{3})|(?:\\[xu]\{?|&#x)([\da-f]+)[};]?|&#(\d+);?|&([a-z]+);/giu,
    (whole, octal, hexadecimal, decimal, name) => {
      if (name !== undefined) return named[name.toLowerCase()] ?? whole;
      return fromCode(Number.parseInt(octal ?? hexadecimal ?? decimal, octal ? 8 : hexadecimal ? 16 : 10));
    },
  );
}

function fromCode(code: number): string {
  return code <= 0x10ffff ? String.fromCodePoint(code) : "";
}

/** The bytes of a text in which some are written as two hexadecimal digits; none when there are few such, or the text has what is no byte. */
function bytesOf(run: string, one: RegExp): Uint8Array | undefined {
  if ((run.match(one)?.length ?? 0) < escapedMin) return undefined;
  return Buffer.from(
    run.replaceAll(one, (_, code) => fromCode(Number.parseInt(code, 16))),
    "latin1",
  );
}

const escapedMin = 3;

/** Words may stand in the lines before and after: what lies between is tried, too, and then each line. */
function fromBase64(run: string): string | undefined {
  const lines = run.split(/\r?\n/u);
  if (lines.length === 1) return unwrapped(run, base64Min);
  const [all, butLast] = [lines.length, lines.length - 1];
  for (const [from, to] of [
    [0, all],
    [1, all],
    [0, butLast],
    [1, butLast],
  ]) {
    const text = unwrapped(lines.slice(from, to).join(""), shiftedMin);
    if (text !== undefined) return [...lines.slice(0, from), text, ...lines.slice(to)].join("\n");
  }
  const texts = lines.map((one) => unwrapped(one, base64Min));
  return texts.some((text) => text !== undefined) ? texts.map((text, index) => text ?? lines[index]).join("\n") : undefined;
}

/** Up to three letters that are none of it may stand before base64. */
function unwrapped(run: string, charsMin: number): string | undefined {
  const texts = [0, 1, 2, 3].values().map((from) => {
    const isLong = run.length - from >= (from === 0 ? charsMin : shiftedMin);
    return isLong ? readable(Buffer.from(run.slice(from), "base64")) : undefined;
  });
  return texts.find((text) => text !== undefined);
}

const base64Min = 12;

/** Shorter words of plain writing, joined or read so often, come out as letters of other scripts by chance. */
const shiftedMin = 24;

const utf8 = new TextDecoder();
const utf16 = new TextDecoder("utf-16le");

/** Of Latin letters, as PowerShell encodes its commands. */
function isUtf16(bytes: Uint8Array): boolean {
  return bytes.length >= 12 && bytes.every((byte, index) => (index % 2 === 0) === (byte !== 0));
}

/** Bytes or characters as a text, when they are one: certificates, keys, pictures and numbers are not. */
function readable(decoded: string | Uint8Array | undefined): string | undefined {
  if (decoded === undefined) return undefined;
  if (typeof decoded !== "string" && !isUtf8(decoded)) return undefined;
  const text = typeof decoded === "string" ? decoded : (isUtf16(decoded) ? utf16 : utf8).decode(decoded);
  const usual = text.match(/[\p{L}\p{N}\p{M} .,;:!?'"()\-\n<>/{}[\]=_&%+*#@$`~|^\\]/gu)?.length ?? 0;
  const isText = text.length >= 6 && usual >= textShareMin * [...text].length && /\p{L}{2}|[0-9a-f]{16}/iu.test(text);
  return isText ? text : undefined;
}
