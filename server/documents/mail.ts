import PostalMime, { decodeWords, type Email } from "postal-mime";
import { joined, type Passage, passage, within } from "../pipeline/passage.ts";
import { type Document, type Reading, UnreadableDocument } from "./document.ts";
import { readHtml } from "./html.ts";

const limits = { maxNestingDepth: 32, maxHeadersSize: 262_144, forceRfc822Attachments: true } as const;
const attachmentsMax = 200;
/** The parser takes a turn for each. */
const linesMax = 50_000;
/** Mails in mails. */
const nestedMax = 5;

/** Headers whose names say nothing about a mail; others are told by their number. */
const knownHeaders = new Set("bcc cc date from message-id received reply-to return-path sender subject to".split(" "));

/**
 * A mail as text: all headers, its text, its HTML, then what is attached, each in its turn (`readPart` reads those that are text); attachments that are no text are named, and told as unread.
 * Offsets count in the header, body or attachment that a part names. Throws `UnreadableDocument`.
 */
export async function readMail(bytes: Buffer, nested: number, readPart: (part: Document) => Promise<Reading>): Promise<Reading> {
  if (nested > nestedMax) throw new UnreadableDocument(`it holds mails more than ${nestedMax} deep in each other`);
  const source = bytes.toString("latin1");
  if (source.split("\n", linesMax + 1).length > linesMax) throw new UnreadableDocument(`it has more than ${linesMax} lines`);
  checkCharsets(source);
  const mail = await PostalMime.parse(bytes, limits).catch((error: Error) => {
    throw new UnreadableDocument("it has more headers, or parts deeper in each other, than are read", { cause: error });
  });
  if (mail.attachments.length > attachmentsMax) throw new UnreadableDocument(`it has more than ${attachmentsMax} attachments`);
  const [, body = ""] = source.split(/\r?\n\r?\n(.*)/su);
  if (body.trim() !== "" && mail.text === undefined && mail.html === undefined && mail.attachments.length === 0)
    throw new UnreadableDocument("its body is not in the parts that its header announces");
  const attached: Reading[] = [];
  for (const [index, one] of mail.attachments.entries()) attached.push(await readAttachment(one, `attachment ${index + 1}`, readPart));
  const bodies = [
    ...(mail.text === undefined ? [] : [within("text", passage(mail.text))]),
    ...(mail.html === undefined ? [] : [within("html", readHtml(mail.html))]),
  ];
  return {
    passage: joined([joined(headersOf(mail), "\n"), ...bodies, ...attached.map((one) => one.passage)], "\n\n"),
    unread: attached.flatMap((one) => one.unread),
  };
}

function headersOf({ headers }: Email): Passage[] {
  return headers.map(({ key, originalKey, value }, index) =>
    within(`header ${knownHeaders.has(key) ? originalKey : index + 1}`, passage(`${originalKey}: ${decodeWords(value)}`)),
  );
}

async function readAttachment(
  one: Email["attachments"][number],
  name: string,
  readPart: (part: Document) => Promise<Reading>,
): Promise<Reading> {
  const names = [one.filename, one.description]
    .filter((text) => text != null && text !== "")
    .map((text) => within(`${name} name`, passage(String(text))));
  const document: Document = { mediaType: one.mimeType, bytes: Buffer.from(one.content as ArrayBuffer) }; // no encoding was asked for
  const read = await readPart(document).catch((error: unknown) => {
    if (error instanceof UnreadableDocument && error.isOtherKind) return undefined;
    throw error;
  });
  if (read !== undefined) {
    return { passage: joined([...names, within(name, read.passage)], "\n"), unread: read.unread.map((part) => `${name}, ${part}`) };
  }
  const [kind] = /^(?:image|audio|video|application|text)(?=\/)/u.exec(one.mimeType) ?? ["other"];
  const notice = within(name, passage(`[${name}, ${kind}: not read]`));
  return { passage: joined([...names, notice], "\n"), unread: [`${name} (${kind})`] };
}

/** A charset that is not known here may be known to who reads the mail: UTF-7 looks like other text. */
function checkCharsets(source: string): void {
  const named = [
    ...source.matchAll(/^(?:content-type:|[ \t])[^\n]{0,2000}?\bcharset\*?\d?\*?\s{0,9}=\s{0,9}["']?([\w.:+-]{1,60})/gimu),
    ...source.matchAll(/=\?([\w.:+-]{1,60})(?:\*[\w-]{0,20})?\?[bq]\?/giu),
  ];
  for (const charset of new Set(named.map(([, name = ""]) => name.toLowerCase()))) {
    if (!isKnown(charset)) throw new UnreadableDocument("it uses a charset that is not known here");
  }
}

function isKnown(charset: string): boolean {
  try {
    return charset === "unknown-8bit" || new TextDecoder(charset).encoding !== "replacement";
  } catch {
    return false;
  }
}
