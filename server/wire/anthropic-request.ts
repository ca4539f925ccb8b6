import { z } from "zod";
import { type ChatRequest, jsonSchema, type Names, toolConfirmations } from "./chat-request.ts";
import { functionName, type PlacedMessage, type userPart } from "./messages.ts";
import { stopTexts, topK } from "./sampling.ts";

/** What it asks for happens by itself: the beginning of a conversation is read once. */
const cached = { cache_control: z.strictObject({ type: z.literal("ephemeral"), ttl: z.enum(["5m", "1h"]).optional() }).optional() };
const textBlock = z.strictObject({ ...cached, type: z.literal("text"), text: z.string() });
const documentBlock = z.strictObject({
  ...cached,
  type: z.literal("document"),
  source: z.strictObject({
    type: z.literal("text", "only documents of plain text are supported"),
    media_type: z.literal("text/plain"),
    data: z.string(),
  }),
  title: z.string().max(500).optional(),
});
const toolUseBlock = z.strictObject({
  ...cached,
  type: z.literal("tool_use"),
  id: z.string().max(100),
  name: functionName,
  input: z.record(z.string(), z.unknown()),
  caller: z.strictObject({ type: z.literal("direct", "only calls that the model made itself are supported") }).optional(),
});
const toolResultBlock = z.strictObject({
  ...cached,
  type: z.literal("tool_result"),
  tool_use_id: z.string().max(100),
  content: z.union([z.string(), z.array(textBlock)]).optional(),
  is_error: z.boolean().optional(),
});
/** What a tool may say of itself that asks for nothing: its arguments are judged whole before any of them leaves, and every tool is told of from the start. */
const hints = {
  eager_input_streaming: z.boolean().optional(),
  strict: z.literal(false, "is not supported").optional(),
  defer_loading: z.literal(false, "is not supported").optional(),
};
const message = z.discriminatedUnion("role", [
  z.strictObject({
    role: z.literal("user"),
    content: z.union([
      z.string(),
      z
        .array(
          z.discriminatedUnion(
            "type",
            [textBlock, documentBlock, toolResultBlock],
            "only blocks of type `text`, `document` and `tool_result` are supported",
          ),
        )
        .min(1),
    ]),
  }),
  z.strictObject({ role: z.literal("system"), content: z.union([z.string(), z.array(textBlock).min(1)]) }),
  z.strictObject({
    role: z.literal("assistant"),
    content: z.union([
      z.string(),
      z.array(z.discriminatedUnion("type", [textBlock, toolUseBlock], "only blocks of type `text` and `tool_use` are supported")),
    ]),
  }),
]);

/** Anthropic's `POST /v1/messages`; what is not listed is refused by name. */
export const anthropicRequestSchema = z.strictObject({
  ...cached,
  model: z.string().optional(),
  max_tokens: z.int().min(1),
  messages: z
    .array(message)
    .min(1)
    .refine(
      (all) => all.at(-1)?.role !== "assistant",
      "end with an answer to go on with, which is not supported: the last one must be the user's",
    ),
  system: z.union([z.string(), z.array(textBlock)]).optional(),
  stop_sequences: stopTexts.optional(),
  stream: z.boolean().optional(),
  temperature: z.number().min(0).max(1).optional(),
  top_p: z.number().min(0).max(1).optional(),
  top_k: topK,
  tools: z
    .array(
      z.strictObject({
        ...cached,
        ...hints,
        type: z.literal("custom", "only tools of your own are supported").optional(),
        name: functionName,
        description: z.string().optional(),
        input_schema: jsonSchema,
      }),
    )
    .max(128)
    .optional(),
  tool_choice: z
    .discriminatedUnion("type", [
      z.strictObject({ type: z.enum(["auto", "any"]), disable_parallel_tool_use: z.boolean().optional() }),
      z.strictObject({ type: z.literal("tool"), name: functionName, disable_parallel_tool_use: z.boolean().optional() }),
      z.strictObject({ type: z.literal("none") }),
    ])
    .optional(),
  tool_confirmations: toolConfirmations,
  metadata: z.strictObject({ user_id: z.string().max(512).optional() }).optional(),
  output_config: z.strictObject({ format: z.strictObject({ type: z.literal("json_schema"), schema: jsonSchema }).optional() }).optional(),
  // Honoured in the one way that asks for nothing.
  thinking: z.strictObject({ type: z.literal("disabled", "is not supported") }).optional(),
});

/** Anthropic's `POST /v1/messages/count_tokens`. */
export const anthropicCountSchema = anthropicRequestSchema
  .pick({ model: true, system: true, tools: true, tool_choice: true, cache_control: true, output_config: true, thinking: true })
  .extend({ messages: z.array(message).min(1) });

export const anthropicNames: Names = { messages: "messages", schema: "output_config.format.schema", parameters: "input_schema" };

type AnthropicRequest = z.infer<typeof anthropicRequestSchema>;

const choices = { auto: "auto", any: "required", none: "none" } as const;

/** The same as a request for a chat completion. */
export function chatRequestOf(request: Omit<AnthropicRequest, "max_tokens"> & Partial<Pick<AnthropicRequest, "max_tokens">>): ChatRequest {
  const { system, tools, tool_choice: choice, output_config: output } = request;
  return {
    model: request.model,
    messages: [
      ...(system === undefined ? [] : [{ role: "system" as const, content: textOf(system), at: null }]),
      ...request.messages.flatMap((one, at) => messagesOf(one).map((told) => ({ ...told, at }))),
    ],
    stream: request.stream,
    max_completion_tokens: request.max_tokens,
    // It is mandatory here, so that nobody knows how much the context leaves: an upper bound, as the vendor has it.
    contextMayEnd: true,
    stop: request.stop_sequences,
    temperature: request.temperature,
    top_p: request.top_p,
    top_k: request.top_k,
    tools: tools?.map(({ name, description, input_schema: parameters }) => ({
      type: "function",
      function: { name, description, parameters },
    })),
    tool_choice:
      choice === undefined
        ? undefined
        : choice.type === "tool"
          ? { type: "function", function: { name: choice.name } }
          : choices[choice.type],
    parallel_tool_calls: choice !== undefined && choice.type !== "none" && choice.disable_parallel_tool_use === true ? false : undefined,
    tool_confirmations: request.tool_confirmations,
    response_format:
      output?.format === undefined ? undefined : { type: "json_schema", json_schema: { name: "answer", schema: output.format.schema } },
    user: request.metadata?.user_id,
  };
}

/** Results of tools are messages of their own; documents are files. */
function messagesOf({ role, content }: AnthropicRequest["messages"][number]): PlacedMessage[] {
  if (typeof content === "string") return [{ role, content }];
  if (role === "system") return [{ role, content: textOf(content) }];
  if (role === "assistant") {
    const texts = content.flatMap((block) => (block.type === "text" ? [block.text] : []));
    const calls = content.flatMap((block) =>
      block.type === "tool_use"
        ? [{ id: block.id, type: "function" as const, function: { name: block.name, arguments: JSON.stringify(block.input) } }]
        : [],
    );
    return [{ role, content: texts.join(""), ...(calls.length === 0 ? {} : { tool_calls: calls }) }];
  }
  const results = content.flatMap((block): PlacedMessage[] =>
    block.type === "tool_result"
      ? [{ role: "tool", tool_call_id: block.tool_use_id, content: textOf(block.content ?? ""), failed: block.is_error === true }]
      : [],
  );
  const parts = content.flatMap((block): z.infer<typeof userPart>[] => {
    if (block.type === "text") return [{ type: "text" as const, text: block.text }];
    if (block.type !== "document") return [];
    const file_data = `data:text/plain;base64,${Buffer.from(block.source.data).toString("base64")}`;
    return [{ type: "file" as const, file: { ...(block.title === undefined ? {} : { filename: block.title.slice(0, 255) }), file_data } }];
  });
  return [...results, ...(parts.length === 0 ? [] : [{ role, content: parts }])];
}

function textOf(content: string | readonly { readonly text: string }[]): string {
  return typeof content === "string" ? content : content.map(({ text }) => text).join("\n");
}
