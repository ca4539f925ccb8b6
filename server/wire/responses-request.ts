import { z } from "zod";
import { Fault } from "../fault.ts";
import { type ChatRequest, jsonSchema, type Names, toolConfirmations } from "./chat-request.ts";
import { filePart, functionName, type PlacedMessage, readBySdk } from "./messages.ts";
import { notObfuscated } from "./sampling.ts";

const inputText = z.strictObject({ type: z.literal("input_text", "only parts of type `input_text` are supported"), text: z.string() });
const inputPart = z.discriminatedUnion(
  "type",
  [inputText, z.strictObject({ type: z.literal("input_file"), ...filePart.shape.file.shape })],
  "only parts of type `input_text` and `input_file` are supported",
);
/** What an answer of this service held can be sent back as it came, and as SDKs give it. */
const outputPart = z.strictObject({
  type: z.literal("output_text", "only parts of type `output_text` are supported"),
  text: z.string(),
  annotations: z.array(z.unknown()).max(0).optional(),
  logprobs: z.array(z.unknown()).max(0).optional(),
  parsed: readBySdk,
});
const itemShape = { id: z.string().max(100).optional(), status: z.string().max(40).optional() };
const messageShape = { ...itemShape, type: z.literal("message").optional() };
const item = z.discriminatedUnion(
  "type",
  [
    z.discriminatedUnion("role", [
      z.strictObject({
        ...messageShape,
        role: z.enum(["system", "developer", "user"]),
        content: z.union([z.string(), z.array(inputPart).min(1)]),
      }),
      z.strictObject({
        ...messageShape,
        role: z.literal("assistant"),
        content: z.union([z.string(), z.array(outputPart).min(1)]),
      }),
    ]),
    z.strictObject({
      ...itemShape,
      type: z.literal("function_call"),
      call_id: z.string().max(100),
      name: functionName,
      arguments: z.string(),
      parsed_arguments: readBySdk,
    }),
    z.strictObject({
      ...itemShape,
      type: z.literal("function_call_output"),
      call_id: z.string().max(100),
      output: z.union([z.string(), z.array(inputText).min(1)]),
    }),
  ],
  "only items of type `message`, `function_call` and `function_call_output` are supported, and each is sent whole, since nothing is stored",
);
const format = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("text") }),
  z.strictObject({ type: z.literal("json_object") }),
  z.strictObject({
    type: z.literal("json_schema"),
    name: functionName,
    description: z.string().optional(),
    schema: jsonSchema,
    strict: z.boolean().optional(),
  }),
]);

/** OpenAI's `POST /v1/responses`; what is not listed is refused by name. */
export const responsesRequestSchema = z.strictObject({
  model: z.string().optional(),
  input: z.union([z.string(), z.array(item).min(1)]),
  instructions: z.string().optional(),
  stream: z.boolean().optional(),
  max_output_tokens: z.int().min(1).optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  tools: z
    .array(
      z.strictObject({
        type: z.literal("function", "only functions are supported"),
        name: functionName,
        description: z.string().optional(),
        parameters: jsonSchema.optional(),
        strict: z.boolean().optional(),
      }),
    )
    .max(128)
    .optional(),
  tool_choice: z
    .union([
      z.enum(["none", "auto", "required"]),
      z.strictObject({ type: z.literal("function", "is `function`, for one by its name"), name: functionName }),
    ])
    .optional(),
  parallel_tool_calls: z.boolean().optional(),
  tool_confirmations: toolConfirmations,
  text: z.strictObject({ format: format.optional() }).optional(),
  metadata: z.record(z.string().max(64), z.string().max(512)).optional(),
  user: z.string().max(512).optional(),
  // Honoured in the one way that asks for nothing.
  store: z.literal(false, "answers are not stored; conversations are sent whole").optional(),
  background: z.literal(false, "answers are not given in the background").optional(),
  truncation: z.literal("disabled", "a conversation is never cut short").optional(),
  include: z.array(z.literal("reasoning.encrypted_content", "nothing more can be included")).optional(),
  stream_options: z.strictObject({ include_obfuscation: notObfuscated }).optional(),
});

/** OpenAI's `POST /v1/responses/input_tokens`. */
export const responsesCountSchema = responsesRequestSchema.pick({
  model: true,
  input: true,
  instructions: true,
  tools: true,
  tool_choice: true,
  parallel_tool_calls: true,
  text: true,
  truncation: true,
});

export const responsesNames: Names = { messages: "input", schema: "text.format.schema", parameters: "parameters" };

export type ResponsesRequest = z.infer<typeof responsesRequestSchema>;
type Item = z.infer<typeof item>;

/** The same as a request for a chat completion. */
export function chatRequestOf(request: ResponsesRequest): ChatRequest {
  const { input, instructions, max_output_tokens: tokensMax, tools, tool_choice: choice, text } = request;
  const wanted = text?.format;
  return {
    model: request.model,
    messages: [
      ...(instructions === undefined ? [] : [{ role: "system" as const, content: instructions, at: null }]),
      ...(typeof input === "string" ? [{ role: "user" as const, content: input, at: 0 }] : messagesOf(input)),
    ],
    stream: request.stream,
    max_completion_tokens: tokensMax,
    temperature: request.temperature,
    top_p: request.top_p,
    tools: tools?.map(({ type, ...one }) => ({ type, function: one })),
    tool_choice: typeof choice === "object" ? { type: "function", function: { name: choice.name } } : choice,
    parallel_tool_calls: request.parallel_tool_calls,
    tool_confirmations: request.tool_confirmations,
    response_format:
      wanted?.type === "json_schema" ? { type: "json_schema", json_schema: (({ type: _, ...rest }) => rest)(wanted) } : wanted,
    user: request.user,
  };
}

/** Calls in a row, and the words before them, are one message of the assistant. */
function messagesOf(items: readonly Item[]): PlacedMessage[] {
  const messages: PlacedMessage[] = [];
  for (const [at, one] of items.entries()) {
    if (one.type === "function_call") {
      const call = { id: one.call_id, type: "function" as const, function: { name: one.name, arguments: one.arguments }, at };
      const last = messages.at(-1);
      if (last?.role === "assistant") messages.splice(-1, 1, { ...last, tool_calls: [...(last.tool_calls ?? []), call] });
      else messages.push({ role: "assistant", tool_calls: [call], at });
    } else if (one.type === "function_call_output") {
      messages.push({ role: "tool", tool_call_id: one.call_id, content: textOf(one.output), at });
    } else if (one.role === "assistant") {
      messages.push({ role: "assistant", content: textOf(one.content), at });
    } else messages.push({ ...messageOf(one), at });
  }
  return messages;
}

function textOf(content: string | readonly { readonly text: string }[]): string {
  return typeof content === "string" ? content : content.map(({ text }) => text).join("");
}

function messageOf({ role, content }: Extract<Item, { role: "system" | "developer" | "user" }>): PlacedMessage {
  if (role === "user") {
    if (typeof content === "string") return { role, content };
    return {
      role,
      content: content.map((part) => {
        if (part.type === "input_text") return { type: "text" as const, text: part.text };
        const { type: _, ...file } = part;
        return { type: "file" as const, file };
      }),
    };
  }
  if (typeof content === "string") return { role, content };
  const texts = content.map((part) => {
    if (part.type !== "input_text") throw new Fault("invalid_value", `A ${role} message holds text only.`, { param: "input" });
    return part.text;
  });
  return { role, content: texts.join("") };
}
