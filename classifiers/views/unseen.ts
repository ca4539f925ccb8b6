import { type Edit, editsOf } from "./mapped.ts";

/** What is not seen: default-ignorable and formatting characters, private planes of tags and variation selectors, control characters but for tab and line ends. */
const runs = /(?:[\p{Default_Ignorable_Code_Point}\p{Cf}]|(?![\t\n\r])\p{Cc})+/gu;

/** Shorter ones are flags, and what emoji are made of. */
const messageBytesMin = 8;

/** Takes out what is not seen; a message that it spells is put in its place. */
export function unseenEdits(text: string): Edit[] {
  return editsOf(text, runs, ([run]) => {
    const message = hiddenMessage(run);
    return message === undefined ? "" : ` ${message} `;
  });
}

/** Text smuggled in tag characters, in variation selectors (one a byte), or in two kinds of invisible characters as bits. */
function hiddenMessage(run: string): string | undefined {
  const points = [...run].map((char) => char.codePointAt(0) ?? 0);
  const tags = points.flatMap((point) => (point >= 0xe0020 && point < 0xe007f ? [point - 0xe0000] : []));
  const selected = points.flatMap((point) => {
    if (point >= 0xfe00 && point <= 0xfe0f) return [point - 0xfe00];
    return point >= 0xe0100 && point <= 0xe01ef ? [point - 0xe0100 + 16] : [];
  });
  return [tags, selected, ...bitsOf(points)].map(readable).find((message) => message !== undefined);
}

/** Of the two most frequent characters of a run, one is 0 and the other 1; eight are a byte. */
function bitsOf(points: readonly number[]): number[][] {
  const kinds = [...new Set(points)];
  if (kinds.length !== 2 || points.length < 8 * messageBytesMin) return [];
  return kinds.map((one) => {
    const bits = points.map((point) => (point === one ? "1" : "0")).join("");
    return (bits.match(/.{8}/gu) ?? []).map((byte) => Number.parseInt(byte, 2));
  });
}

function readable(bytes: readonly number[]): string | undefined {
  if (bytes.length < messageBytesMin) return undefined;
  const text = new TextDecoder().decode(Uint8Array.from(bytes));
  return /^[^\p{Cc}\ufffd]+$/u.test(text.replaceAll(/[\t\n\r]/gu, " ")) && /\p{L}{2}/u.test(text) ? text : undefined;
}
