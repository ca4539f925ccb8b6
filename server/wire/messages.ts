import { z } from "zod";
import { Fault } from "../fault.ts";
import type { Message, Origin } from "../pipeline/guard.ts";
import { passage } from "../pipeline/passage.ts";
import { argumentsPassage } from "./arguments-passage.ts";

const textPart = z.strictObject({ type: z.literal("text"), text: z.string() });
/** A text file, as OpenAI's clients send one: `data:text/plain;base64,…`. */
export const filePart = z.strictObject({
  type: z.literal("file"),
  file: z.strictObject({
    filename: z.string().max(255).optional(),
    file_data: z
      .string()
      .regex(
        /^data:(?:text\/[a-z.+-]+|application\/(?:json|xml|yaml))(?:;charset=utf-8)?;base64,/iu,
        "only text files are supported, as a base64 data URL",
      ),
  }),
});
const text = z.union([z.string(), z.array(textPart, "only parts of type `text` are supported").min(1)]);
export const userPart = z.discriminatedUnion("type", [textPart, filePart], "only parts of type `text` and `file` are supported");
const parts = z.array(userPart).min(1);
export const functionName = z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/u, "is not a function's name: letters, digits, _ and -, 64 at most");
const toolCall = z.strictObject({
  id: z.string().max(100),
  type: z.literal("function"),
  function: z.strictObject({ name: functionName, arguments: z.string() }),
});

export const messageSchema = z.union([
  z.strictObject({ role: z.enum(["system", "developer"]), content: text }),
  z.strictObject({ role: z.literal("user"), content: z.union([z.string(), parts]) }),
  // An answer of this service can be sent back as it came.
  z.strictObject({
    role: z.literal("assistant"),
    content: text.nullish(),
    refusal: z.null().optional(),
    tool_calls: z.array(toolCall).min(1).max(128).optional(),
  }),
  z.strictObject({ role: z.literal("tool"), content: text, tool_call_id: z.string().max(100) }),
]);

/** Texts from outside that go with a call. */
export const documentsSchema = z
  .array(z.union([z.string(), z.strictObject({ title: z.string().max(500).optional(), text: z.string() })]))
  .max(100);

export type WireMessage = z.infer<typeof messageSchema>;
export type WireDocuments = z.infer<typeof documentsSchema>;

/** Throws when there are more messages than the configuration allows. */
export function checkCount(messages: readonly WireMessage[], messagesMax: number, param: string): void {
  if (messages.length > messagesMax)
    throw new Fault("invalid_value", `\`${param}\` holds ${messages.length} messages; this service accepts ${messagesMax}.`, { param });
}

/** Messages of a request; documents and files become messages of their own, before the one that they go with. `userOrigin`: what the text of a user message is taken for. */
export function messagesOf(wire: readonly WireMessage[], documents: WireDocuments = [], userOrigin: Origin = "user"): Message[] {
  const asking = wire.findLastIndex(({ role }) => role === "user");
  return wire.flatMap((message, index) => {
    const files =
      message.role === "user" && Array.isArray(message.content)
        ? message.content.flatMap((part) => (part.type === "file" ? [fileText(part, index)] : []))
        : [];
    const outside = [...(index === Math.max(0, asking) ? documents.map(documentText) : []), ...files];
    return [
      ...outside.map((one): Message => ({ role: "user", index, origin: "document", passage: passage(one) })),
      messageOf(message, index, userOrigin),
      ...callsOf(message, index),
    ];
  });
}

function messageOf(message: WireMessage, index: number, userOrigin: Origin): Message {
  const { role } = message;
  const origin = role === "user" ? userOrigin : role === "assistant" ? "model" : role === "tool" ? "tool" : "operator";
  return { role, index, origin, passage: passage(textOf(message.content)) };
}

/** What an earlier answer called: its arguments are judged as texts of their own. */
function callsOf(message: WireMessage, index: number): Message[] {
  if (message.role !== "assistant") return [];
  return (message.tool_calls ?? []).map((call) => ({
    role: "assistant",
    index,
    origin: "model",
    passage: argumentsPassage(call.function.arguments),
    called: call.function.name,
  }));
}

function textOf(content: WireMessage["content"]): string {
  if (content === null || content === undefined) return "";
  return typeof content === "string" ? content : content.map((part) => (part.type === "text" ? part.text : "")).join("");
}

function documentText(document: WireDocuments[number]): string {
  if (typeof document === "string") return document;
  return document.title === undefined ? document.text : `${document.title}\n\n${document.text}`;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function fileText({ file: { filename, file_data } }: z.infer<typeof filePart>, index: number): string {
  const bytes = Buffer.from(file_data.slice(file_data.indexOf(",") + 1), "base64");
  try {
    const read = utf8.decode(bytes);
    return filename === undefined ? read : `${filename}\n\n${read}`;
  } catch {
    throw new Fault("invalid_value", "The file is not UTF-8 text.", { param: `messages[${index}].content` });
  }
}
