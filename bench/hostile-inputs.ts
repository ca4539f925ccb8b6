import { randomInt } from "node:crypto";
import { Tokeniser } from "../classifiers/onnx/tokens.ts";
import { unveiled } from "../classifiers/views/views.ts";

/** What is sent: a text as a message or a document of a call, or in a file that is checked. */
export interface HostileInput {
  readonly path: "/v1/chat/completions" | "/v1/guard/check";
  readonly body: object;
}

export interface InputLimits {
  /** Of the policy: what one call may hold and is still judged. */
  readonly tokensMax: number;
  /** Of the configuration: a body that is larger is not even read. */
  readonly bodyBytesMax: number;
  readonly messagesMax: number;
}

export const families = [
  "long line",
  "control characters",
  "json nodes",
  "decode bombs",
  "backtracking",
  "placeholders",
  "messages",
] as const;
export type Family = (typeof families)[number];

/** The inputs of a family, new each time, so that no verdict is remembered. Some lie above each limit, and some are as large as is still judged. */
export function hostileInputs(limits: InputLimits): (family: Family) => HostileInput[] {
  const { tokensMax, bodyBytesMax, messagesMax } = limits;
  const tokeniser = new Tokeniser(new URL("../classifiers/tokenizer/", import.meta.url));
  const filled = (unit: string): string => unit.repeat(Math.floor(tokensMax / tokensOf(unit, tokeniser)));
  const nodes = (count: number): string => JSON.stringify(Array.from({ length: count }, (_, index) => ({ [`k${index % 7}`]: 1 })));
  const line = "a".repeat(bodyBytesMax * 0.7);
  const letters = Array.from({ length: 64 }, () => "qzxjkvw"[randomInt(7)]).join("");
  const mails = Array.from({ length: tokensMax / 8 }, (_, index) => `a${index}@b.cc`).join("\n");
  const texts: Readonly<Record<Family, () => HostileInput[]>> = {
    "long line": () => [
      asMessage("a".repeat(bodyBytesMax)),
      ...everyWay("text/html", line),
      ...everyWay("text/plain", letters.repeat(tokensMax / 8)),
      ...everyWay("text/plain", filled(letters)),
      ...everyWay("text/markdown", filled("word ")),
      asMessage(filled("日月火水木金土山川田")),
      asMessage(`a${" ".repeat(7 * tokensMax)}`),
    ],
    "control characters": () => [
      asMessage(`Hello.${"\b".repeat(926)}`),
      ...everyWay("text/plain", `${"\b".repeat(8)}${"word ".repeat(tokensMax / 1_000)}`.repeat(926)),
      ...everyWay("text/plain", filled("he\u200bro\u0001 ")),
    ],
    "json nodes": () => [
      ...everyWay("application/json", nodes(50_000)),
      ...everyWay("application/json", filled(`${nodes(1)}\n`)),
      check([{ role: "user", content: Array.from({ length: 35_000 }, () => ({ type: "text", text: "a" })) }]),
    ],
    "decode bombs": () => [
      ...everyWay("text/plain", nested("word ".repeat(tokensMax / 4), 3)),
      ...everyWay("text/html", filled("&amp;#65;")),
      asMessage(filled("%2541")),
      asMessage("㌀".repeat(tokensMax)),
      asMessage(filled("㌀ ")),
      asMessage(filled(nested("㌀".repeat(100), 1).concat(" "))),
    ],
    backtracking: () => [
      ...["1-", "1 ", "wo\u200brd ", "a.b@", "a\u0301\u0301\u0301"].map((unit) => asMessage(filled(unit))),
      ...everyWay("text/html", filled('<a title="x y" href=\'')),
      ...everyWay("text/markdown", filled("[a](b")),
      asFile("message/rfc822", `From: a@b.example\nTo: ${filled("<(")}\n\nx`),
    ],
    placeholders: () => [
      ...everyWay("text/plain", "<PERSON_1_abcdef>".repeat(10_000)),
      ...everyWay("text/plain", filled("<PERSON_1_abcdef> ")),
      ...everyWay("text/csv", mails),
    ],
    messages: () => [
      check(Array.from({ length: messagesMax }, (_, index) => ({ role: "user", content: fresh(`question ${index}`) }))),
      check(Array.from({ length: messagesMax / 4 }, (_, index) => ({ role: "user", content: fresh(`question ${index}`) }))),
    ],
  };
  return (family) => texts[family]();
}

const everyWay = (mediaType: string, text: string): HostileInput[] => [asMessage(text), asDocument(text), asFile(mediaType, text)];

const asMessage = (text: string): HostileInput => call({ messages: [{ role: "user", content: fresh(text) }] });

const asDocument = (text: string): HostileInput =>
  call({ messages: [{ role: "user", content: fresh("What does it say?") }], documents: [fresh(text)] });

const call = (body: object): HostileInput => ({ path: "/v1/chat/completions", body: { ...body, max_tokens: 1 } });

function asFile(mediaType: string, text: string): HostileInput {
  const file_data = `data:${mediaType};base64,${Buffer.from(fresh(text)).toString("base64")}`;
  return check([{ role: "user", content: [{ type: "file", file: { file_data } }] }]);
}

const check = (input: object[]): HostileInput => ({ path: "/v1/guard/check", body: { input } });

const fresh = (text: string): string => `${randomInt(1e9)} ${text}`;

const nested = (text: string, depth: number): string => (depth === 0 ? text : nested(Buffer.from(text).toString("base64"), depth - 1));

/** Of one of many repetitions, as the classifiers count; a little more, so that what begins a text has room. */
function tokensOf(unit: string, tokeniser: Tokeniser): number {
  const text = unit.repeat(100);
  return 1.02 * Math.max(...[text, unveiled(text).text].map((one) => tokeniser.tokensOf(one).ids.length / 100));
}
