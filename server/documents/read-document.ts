import { type Passage, passage } from "../pipeline/passage.ts";
import { readCsv } from "./csv.ts";
import { type Document, type Reading, UnreadableDocument } from "./document.ts";
import { readHtml } from "./html.ts";
import { readJson } from "./json.ts";
import { readMail } from "./mail.ts";
import { readMarkdown } from "./markdown.ts";

const bytesMax = 2_000_000;
/** Stretches of the original: whoever goes on with the text goes over all of them, beside answers that wait. */
const runsMax = 100_000;

/** Throws `UnreadableDocument`. `nested`: how many files it lies in. */
export async function readDocument(document: Document, nested = 0): Promise<Reading> {
  if (document.bytes.length > bytesMax) throw new UnreadableDocument(`it is larger than the ${bytesMax} bytes that are read`);
  const reading = await read(document, nested);
  if (reading.passage.runs.length > runsMax) throw new UnreadableDocument(`its text lies in more than ${runsMax} pieces`);
  return reading;
}

async function read({ mediaType, charset = "utf-8", bytes }: Document, nested: number): Promise<Reading> {
  if (mediaType === "message/rfc822") return await readMail(bytes, nested, (one) => readDocument(one, nested + 1));
  const reader = readers.find(([types]) => types.test(mediaType))?.[1];
  if (reader === undefined)
    throw new UnreadableDocument("only text, HTML, Markdown, mail, CSV, JSON, XML and YAML are read", { isOtherKind: true });
  return { passage: reader(decode(bytes, charset)), unread: [] };
}

const readers: readonly (readonly [types: RegExp, read: (source: string) => Passage])[] = [
  [/^(?:text\/html|application\/xhtml\+xml|image\/svg\+xml)$/u, readHtml],
  [/^text\/(?:x-)?markdown$/u, readMarkdown],
  [/^application\/(?:json|jsonl|x-ndjson|[\w.-]+\+json)$/u, readJson],
  [/^text\/(?:csv|tab-separated-values)$/u, readCsv],
  [/^(?:text\/[\w.+-]+|application\/(?:xml|yaml|x-yaml))$/u, passage],
];

function decode(bytes: Buffer, charset: string): string {
  try {
    return new TextDecoder(charset, { fatal: true }).decode(bytes);
  } catch (cause) {
    const message = charset === "utf-8" ? "it is not UTF-8 text" : "it is not text of the charset that it names, or that is not known here";
    throw new UnreadableDocument(message, { isOtherKind: true, cause });
  }
}
