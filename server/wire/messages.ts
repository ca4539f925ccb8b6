import { z } from "zod";
import { UnreadableDocument } from "../documents/document.ts";
import { readApart } from "../documents/read-apart.ts";
import { Fault } from "../fault.ts";
import type { Message, Origin } from "../pipeline/guard.ts";
import { added, joined, type Passage, passage, within } from "../pipeline/passage.ts";
import { argumentsPassage } from "./arguments-passage.ts";

export const textPart = z.strictObject({ type: z.literal("text", "only parts of type `text` are supported"), text: z.string() });
/** A file, as OpenAI's clients send one: `data:text/html;base64,…`. */
export const filePart = z.strictObject({
  type: z.literal("file"),
  file: z.strictObject({
    filename: z.string().max(255).optional(),
    file_data: z
      .string()
      .regex(/^data:[a-z]+\/[\w.+-]{1,100}(?:;charset=[\w.:-]{1,60})?;base64,/iu, "a file is a base64 data URL with a media type"),
  }),
});
type FilePart = z.infer<typeof filePart>;
const text = textOr(textPart);
export const userPart = z.discriminatedUnion("type", [textPart, filePart], "only parts of type `text` and `file` are supported");
const parts = z.array(userPart).min(1);
export const functionName = z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/u, "is not a function's name: letters, digits, _ and -, 64 at most");
/** What an SDK has read in an answer; it stands in the answer itself. */
export const readBySdk = z.unknown().optional();
const toolCall = z.strictObject({
  index: z.int().optional(),
  id: z.string().max(100),
  type: z.literal("function"),
  function: z.strictObject({ name: functionName, arguments: z.string(), parsed_arguments: readBySdk }),
});
/** The Agents SDK writes what else its message holds into a part too. */
const answerPart = z.strictObject({
  ...textPart.shape,
  role: z.literal("assistant").optional(),
  tool_calls: readBySdk,
});

/** Whose of several in a role. */
const named = {
  name: z
    .string()
    .regex(/^[^\s<|\\/>]{1,64}$/u, "is not a name: 64 characters at most, no spaces and none of <|\\/>")
    .optional(),
};

export const messageSchema = z.discriminatedUnion(
  "role",
  [
    z.strictObject({ ...named, role: z.enum(["system", "developer"]), content: text }),
    z.strictObject({ ...named, role: z.literal("user"), content: z.union([z.string(), parts]) }),
    // An answer of this service can be sent back as it came, and as SDKs give it.
    z.strictObject({
      ...named,
      role: z.literal("assistant"),
      content: textOr(answerPart).optional(),
      parsed: readBySdk,
      annotations: z.array(z.unknown()).max(0).optional(),
      tool_calls: z.array(toolCall).max(128).optional(),
    }),
    // The model reads neither the id nor the name: results are told in the order of their calls.
    z.strictObject({ role: z.literal("tool"), content: text, tool_call_id: z.string().max(100), name: functionName.optional() }),
  ],
  "only messages of role system, developer, user, assistant and tool are supported",
);

function textOr<Part extends z.ZodType>(part: Part) {
  return z.union([z.string(), z.array(part).min(1)]);
}

/** Texts from outside that go with a call. */
export const documentsSchema = z
  .array(z.union([z.string(), z.strictObject({ title: z.string().max(500).optional(), text: z.string() })]))
  .max(100);

/** Of all messages together. */
const filesMax = 100;

type WireMessage = z.infer<typeof messageSchema>;
/** One that another vendor's request was told as. `at`: where it stood there; null for what was no message. `failed`: the result of a tool that failed. */
export type PlacedMessage = WireMessage & { readonly at?: number | null; readonly failed?: boolean };
type PlacedCall = z.infer<typeof toolCall> & { readonly at?: number };
type WireDocuments = z.infer<typeof documentsSchema>;

/** Throws when there are more messages than the configuration allows. */
export function checkCount(messages: readonly WireMessage[], messagesMax: number, param: string): void {
  if (messages.length > messagesMax)
    throw new Fault("invalid_value", `\`${param}\` holds ${messages.length} messages; this service accepts ${messagesMax}.`, { param });
}

/** Messages of a request; documents and files become messages of their own, before the one that they go with. `userOrigin`: what the text of a user message is taken for. `signal`: until when files are read. */
export async function messagesOf(
  wire: readonly PlacedMessage[],
  documents: WireDocuments,
  caller: string,
  { userOrigin = "user", param = "messages", signal }: { userOrigin?: Origin; param?: string; signal?: AbortSignal } = {},
): Promise<Message[]> {
  const ordered = inCallOrder(wire);
  const asking = ordered.findLastIndex(({ role }) => role === "user");
  const messages: Message[] = [];
  let filesRead = 0;
  for (const [position, message] of ordered.entries()) {
    const index = message.at ?? undefined;
    const outside: Pick<Message, "passage" | "unread">[] = [];
    if (position === Math.max(0, asking)) {
      outside.push(...documents.map((one, count) => ({ passage: within(`document ${count + 1}`, passage(documentText(one))) })));
    }
    const parts = message.role === "user" && Array.isArray(message.content) ? [...message.content.entries()] : [];
    const files = parts.flatMap(([at, part]) => (part.type === "file" ? [{ at, part }] : []));
    filesRead += files.length;
    if (filesRead > filesMax) throw new Fault("invalid_value", `\`${param}\` holds more than ${filesMax} files.`, { param });
    for (const [count, { at, part }] of files.entries()) {
      outside.push(await fileOf(part, { caller, signal }, `file ${count + 1}`, `${param}[${index}].content[${at}].file`));
    }
    messages.push(...outside.map((one): Message => ({ role: "user", index, origin: "document", ...one })));
    messages.push(messageOf(message, index, userOrigin), ...callsOf(message, index));
  }
  return messages;
}

/** Results in the order of their calls, by which alone the model knows whose they are. Each keeps the place where it stood. */
function inCallOrder(wire: readonly PlacedMessage[]): PlacedMessage[] {
  /** `call`: which of the last answer's calls it is the result of; -1 for whatever else. */
  const ordered: { readonly message: PlacedMessage; readonly call: number }[] = [];
  let calls: ReadonlyMap<string, number> = new Map();
  let from = 0;
  for (const [position, message] of wire.entries()) {
    const call = message.role === "tool" ? (calls.get(message.tool_call_id) ?? -1) : -1;
    let place = ordered.length;
    for (let at = place - 1; call >= 0 && at >= from; at -= 1) {
      const before = ordered[at]?.call ?? -1;
      if (before > call) place = at;
      else if (before >= 0) break;
    }
    ordered.splice(place, 0, { call, message: { ...message, at: message.at === undefined ? position : message.at } });
    if (message.role !== "assistant") continue;
    calls = new Map((message.tool_calls ?? []).map(({ id }, index) => [id, index] as const).reverse()); // of two with one id the first
    from = ordered.length;
  }
  return ordered.map(({ message }) => message);
}

/** Reads a file whole, what a person would not see included. */
async function fileOf(
  { file: { filename, file_data } }: FilePart,
  { caller, signal }: { readonly caller: string; readonly signal: AbortSignal | undefined },
  name: string,
  param: string,
): Promise<Pick<Message, "passage" | "unread">> {
  const [, mediaType = "", charset] = /^data:([^;]+)(?:;charset=([^;]+))?/iu.exec(file_data) ?? [];
  const bytes = Buffer.from(file_data.slice(file_data.indexOf(",") + 1), "base64");
  try {
    const document = { mediaType: mediaType.toLowerCase(), bytes, ...(charset === undefined ? {} : { charset: charset.toLowerCase() }) };
    const { passage: read, unread } = await readApart(document, caller, signal);
    const named = filename === undefined ? [] : [within("name", passage(filename))];
    return { passage: within(name, joined([...named, read], "\n\n")), unread: unread.map((part) => `${name}, ${part}`) };
  } catch (error) {
    if (!(error instanceof UnreadableDocument)) throw error;
    throw new Fault("invalid_value", `The file can't be read: ${error.message}.`, { param });
  }
}

function messageOf(message: PlacedMessage, index: number | undefined, userOrigin: Origin): Message {
  const { role } = message;
  const origin = role === "user" ? userOrigin : role === "assistant" ? "model" : role === "tool" ? "tool" : "operator";
  return { role, index, origin, passage: saidBy(message, passage(textOf(message.content))) };
}

/** The model is told who speaks, and that a tool failed, nowhere else. */
function saidBy({ role, name, failed = false }: PlacedMessage, said: Passage): Passage {
  if (failed) return joined([added("Error: "), said], "");
  return name === undefined || role === "tool" || said.text === "" ? said : joined([within("name", passage(name)), said], ": ");
}

/** What an earlier answer called, name and arguments: a caller can write both. */
function callsOf(message: WireMessage, index: number | undefined): Message[] {
  if (message.role !== "assistant") return [];
  const calls: readonly PlacedCall[] = message.tool_calls ?? [];
  return calls.map((call) => ({
    role: "assistant",
    index: call.at ?? index,
    origin: "model",
    passage: joined(
      [
        added('{"name": "'),
        within("name", passage(call.function.name)),
        added('", "arguments": '),
        argumentsPassage(call.function.arguments),
        added("}"),
      ],
      "",
    ),
    isCall: true,
  }));
}

function textOf(content: WireMessage["content"]): string {
  if (content === undefined) return "";
  return typeof content === "string" ? content : content.map((part) => (part.type === "text" ? part.text : "")).join("");
}

function documentText(document: WireDocuments[number]): string {
  if (typeof document === "string") return document;
  return document.title === undefined ? document.text : `${document.title}\n\n${document.text}`;
}
