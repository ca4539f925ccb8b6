import { randomInt } from "node:crypto";
import type { Wait } from "../pipeline/segment.ts";
import type { Detector } from "./detector.ts";

/** A mark that stands in the system prompt and in no text that a model would write by itself: whoever repeats it repeats the prompt. */
export function newCanary(): string {
  return Array.from({ length: 14 }, () => String.fromCharCode(97 + randomInt(26))).join("");
}

/** Output gate: finds the mark as it is, with other signs between its letters, backwards, in rot13, hexadecimal and base64. */
export function canaryDetector(canary: string): Detector {
  const forms = formsOf(canary);
  return (text) => {
    const { letters, places } = lettersOf(text);
    const found = forms.map((form) => ({ start: letters.indexOf(form), length: form.length })).filter(({ start }) => start >= 0);
    return found.slice(0, 1).map(({ start, length }) => ({
      label: "CANARY",
      span: { start: places[start] ?? 0, end: (places[start + length - 1] ?? 0) + 1 },
      action: "block",
      replacement: "",
    }));
  };
}

/** Holds back an end of the text that may become the mark. */
export function waitForCanary(canary: string): Wait {
  const forms = formsOf(canary);
  const longest = Math.max(...forms.map((form) => form.length));
  return (text) => {
    const { letters, places } = lettersOf(text);
    for (let at = Math.max(0, letters.length - longest); at < letters.length; at += 1) {
      const end = letters.slice(at);
      if (forms.some((form) => form.startsWith(end))) return places[at] ?? text.length;
    }
    return text.length;
  };
}

function formsOf(canary: string): string[] {
  const rot13 = canary.replaceAll(/[a-z]/gu, (char) => String.fromCharCode(97 + ((char.charCodeAt(0) - 97 + 13) % 26)));
  // Base64 has three forms of a text, by where it begins; the characters that its neighbours share in are left out.
  const base64 = [0, 1, 2].map((shift) => {
    const whole = Buffer.from("_".repeat(shift) + canary)
      .toString("base64")
      .replaceAll("=", "");
    return whole.slice(shift === 0 ? 0 : shift + 1, -1).toLowerCase();
  });
  return [canary, [...canary].toReversed().join(""), rot13, Buffer.from(canary).toString("hex"), ...base64];
}

/** Letters and digits in lower case, and where each stood. */
function lettersOf(text: string): { letters: string; places: number[] } {
  let letters = "";
  const places: number[] = [];
  for (const { index, 0: char } of text.matchAll(/[a-z0-9]/giu)) {
    letters += char.toLowerCase();
    places.push(index);
  }
  return { letters, places };
}
