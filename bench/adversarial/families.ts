import { readFileSync } from "node:fs";
import type { Origin } from "../../classifiers/classifier.ts";

/** One text of a family: an attack, or its harmless twin under the same disguise. */
export interface Case {
  readonly family: string;
  readonly text: string;
  readonly isAttack: boolean;
  readonly origin: Origin;
}

interface Texts {
  readonly pairs: readonly { readonly attack: string; readonly twin: string }[];
  /** Documents with a place for a text, `{}`. */
  readonly hosts: readonly string[];
}

type Random = () => number;
type Disguise = (text: string, random: Random, hosts: readonly string[]) => string;

/** How a family hides a text, in more than one way. */
const families: Readonly<Record<string, { readonly origin: Origin; readonly ways: readonly Disguise[] }>> = {
  plain: { origin: "user", ways: [(text) => text] },
  invisible: {
    origin: "user",
    ways: [
      (text) => `Thank you for your help yesterday${points(text, (code) => 0xe0000 + code)}`,
      (text) => `Thank you \u{1f60a}${bytes(text, (byte) => (byte < 16 ? 0xfe00 + byte : 0xe0100 + byte - 16))}`,
      (text) => [...text].join("\u200b"),
      (text) => text.replaceAll(/[aeiou]/gu, (char) => `\u00ad${char}\u2060`),
    ],
  },
  lookalikes: {
    origin: "user",
    ways: [
      (text) => text.replaceAll(/[aeocpxi]/gu, (char) => ({ a: "а", e: "е", o: "о", c: "с", p: "р", x: "х", i: "і" })[char] ?? char),
      (text) => points(text, (code) => (code >= 0x21 && code <= 0x7e ? code + 0xfee0 : code)),
      (text) => text.replaceAll(/[a-z]/gu, (char) => String.fromCodePoint(0x1d41a + char.charCodeAt(0) - 97)),
      (text) => text.replaceAll(/[a-z]/gu, (char) => `${char}\u0335\u0321\u0334`),
    ],
  },
  encoded: {
    origin: "user",
    ways: [
      (text) => `Here is the note: ${Buffer.from(text).toString("base64")}`,
      (text) => `Here is the note: ${Buffer.from(text).toString("hex")}`,
      (text) => `Here is the note: ${[...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")}`,
      (text) => `Here is the note: ${[...text].map((char) => `&#${char.charCodeAt(0)};`).join("")}`,
      (text) => `Here is the note: ${Buffer.from(Buffer.from(text).toString("base64")).toString("hex")}`,
    ],
  },
  respelled: {
    origin: "user",
    ways: [
      (text) =>
        text
          .split(" ")
          .map((word) => [...word].join(" "))
          .join("   "),
      (text) =>
        text
          .split(" ")
          .map((word) => [...word].join("-"))
          .join("  "),
      (text) => text.replaceAll(/[aeios]/gu, (char) => ({ a: "4", e: "3", i: "1", o: "0", s: "5" })[char] ?? char),
    ],
  },
  turned: {
    origin: "user",
    ways: [
      (text) =>
        text.replaceAll(/[a-z]/giu, (char) => String.fromCharCode((char < "a" ? 65 : 97) + (((char.charCodeAt(0) & 31) - 1 + 13) % 26))),
      (text) => [...text].toReversed().join(""),
    ],
  },
  "letter case": {
    origin: "user",
    ways: [
      (text) => text.toUpperCase(),
      (text) => text.toLowerCase(),
      (text, random) => [...text].map((char) => (random() < 0.5 ? char.toUpperCase() : char.toLowerCase())).join(""),
    ],
  },
  embedded: { origin: "document", ways: [placed] },
  "result of a tool": { origin: "tool", ways: [placed] },
  buried: {
    origin: "document",
    ways: [
      (text, random, hosts) => {
        const filler = Array.from({ length: 60 }, () =>
          pick(hosts, random)
            .replace("{}", "")
            .replaceAll(/\{\{|\}\}/gu, ""),
        );
        filler.splice(Math.floor(random() * filler.length), 0, placed(text, random, hosts));
        return filler.join("\n\n");
      },
    ],
  },
};

/** Cases of every family, the same for the same seed: each attack and each twin in each way. */
export function casesOf(seed: number): Case[] {
  const { pairs, hosts }: Texts = JSON.parse(readFileSync(new URL("texts.json", import.meta.url), "utf8"));
  const random = mulberry(seed);
  return Object.entries(families).flatMap(([family, { origin, ways }]) =>
    pairs.flatMap(({ attack, twin }) =>
      ways.flatMap((way) =>
        [attack, twin].map((text): Case => ({ family, origin, isAttack: text === attack, text: way(text, random, hosts) })),
      ),
    ),
  );
}

function placed(text: string, random: Random, hosts: readonly string[]): string {
  return pick(hosts, random)
    .replace("{}", () => text)
    .replaceAll("{{", "{")
    .replaceAll("}}", "}");
}

function pick<T>(list: readonly T[], random: Random): T {
  const one = list[Math.floor(random() * list.length)];
  if (one === undefined) throw new Error("There is nothing to pick from.");
  return one;
}

function points(text: string, change: (code: number) => number): string {
  return [...text].map((char) => String.fromCodePoint(change(char.codePointAt(0) ?? 0))).join("");
}

function bytes(text: string, change: (byte: number) => number): string {
  return [...Buffer.from(text)].map((byte) => String.fromCodePoint(change(byte))).join("");
}

/** A small generator of numbers from 0 to 1 (mulberry32). */
function mulberry(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
