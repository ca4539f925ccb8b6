import { z } from "zod";
import type { JsonSchema, Tools } from "../../models/engine.ts";
import { checkSchema } from "../caller-schema.ts";
import { fromDraft07 } from "../draft-07.ts";
import { Fault } from "../fault.ts";
import { SchemaError } from "../json-schema.ts";
import type { Call } from "../pipeline/call.ts";
import { documentsSchema, functionName, messageSchema, messagesOf, type PlacedMessage } from "./messages.ts";
import { samplingOf, samplingShape, streamShape } from "./sampling.ts";

export const jsonSchema = z.record(z.string(), z.unknown());
/** Ours: calls that were held, and that the application confirms. */
export const toolConfirmations = z.array(z.string().max(100_000)).min(1).max(16).optional();
const toolSchema = z.strictObject({
  type: z.literal("function", "only functions are supported"),
  function: z.strictObject({
    name: functionName,
    description: z.string().optional(),
    parameters: jsonSchema.optional(),
    strict: z.boolean().optional(),
  }),
});

/** OpenAI's `POST /v1/chat/completions`; what is not listed is refused by name. */
export const chatRequestSchema = z.strictObject({
  model: z.string().optional(),
  messages: z.array(messageSchema).min(1),
  /** Ours: texts from outside that the answer is to be found in. */
  documents: documentsSchema.optional(),
  ...streamShape,
  ...samplingShape,
  /** Answers. */
  n: z.int().min(1).max(4).optional(),
  max_tokens: z.int().min(1).optional(),
  max_completion_tokens: z.int().min(1).optional(),
  user: z.string().max(512).optional(),
  tools: z.array(toolSchema).max(128).optional(),
  tool_choice: z
    .union([
      z.enum(["none", "auto", "required"]),
      z.strictObject({
        type: z.literal("function", "is `function`, for one by its name"),
        function: z.strictObject({ name: functionName }),
      }),
    ])
    .optional(),
  parallel_tool_calls: z.boolean().optional(),
  tool_confirmations: toolConfirmations,
  response_format: z
    .discriminatedUnion("type", [
      z.strictObject({ type: z.literal("text") }),
      z.strictObject({ type: z.literal("json_object") }),
      z.strictObject({
        type: z.literal("json_schema"),
        json_schema: z.strictObject({
          name: functionName,
          description: z.string().optional(),
          schema: jsonSchema.optional(),
          strict: z.boolean().optional(),
        }),
      }),
    ])
    .optional(),
  // Honoured in the one way that asks for nothing.
  logprobs: z.literal(false, "log probabilities are not supported").optional(),
  store: z.literal(false, "the policy says what is kept").optional(),
  modalities: z.array(z.literal("text", "only text is supported")).optional(),
});

/** Also what another vendor's request is told as. */
export type ChatRequest = Omit<z.infer<typeof chatRequestSchema>, "messages"> & {
  readonly messages: readonly PlacedMessage[];
  /** The answer may end where the context does, before `max_completion_tokens`. */
  readonly contextMayEnd?: boolean;
};

/** What the request, in whichever vendor's shape, calls its parts. */
export interface Names {
  readonly messages: string;
  /** Of the answer. */
  readonly schema: string;
  /** Of a function's arguments, in an element of `tools`. */
  readonly parameters: string;
}

export const chatNames: Names = { messages: "messages", schema: "response_format.json_schema.schema", parameters: "function.parameters" };

/** `signal`: until when files and schemas are read. `offers`: whether the caller's policy lets the model hear of a function. */
export async function callOf(
  request: ChatRequest,
  { id, caller, names, signal }: Pick<Call, "id" | "caller"> & { readonly names: Names; readonly signal: AbortSignal },
  offers: (tool: string) => boolean,
): Promise<Call> {
  const { user: endUser, max_tokens: older, max_completion_tokens: newer } = request;
  if (older !== undefined && newer !== undefined && older !== newer)
    throw new Fault("invalid_value", "`max_tokens` and `max_completion_tokens` differ. Give one of them.", { param: "max_tokens" });
  const tokensMax = newer ?? older;
  const [format = ""] = names.schema.split(".");
  const check = (schema: JsonSchema, param: string): Promise<void> => checkedSchema(schema, param, caller.name, signal);
  const tools = await toolsOf(request, names, check, offers);
  const schema = await schemaOf(request, names, check);
  if (tools !== undefined && schema !== undefined)
    throw new Fault("unsupported_parameter", `\`${format}\` in JSON can't be honoured together with \`tools\`. Give one of them.`, {
      param: format,
    });
  if (request.tool_confirmations !== undefined && (request.n ?? 1) > 1)
    throw new Fault("invalid_value", "`n` must be 1 together with `tool_confirmations`: what was confirmed is called once.", {
      param: "n",
    });
  return {
    id,
    caller,
    endpoint: "chat.completions",
    messages: await messagesOf(request.messages, request.documents ?? [], caller.name, { param: names.messages, signal }),
    params: { messages: names.messages, schema: format },
    ...(tools === undefined ? {} : { tools }),
    ...(schema === undefined ? {} : { schema }),
    ...(request.tool_confirmations === undefined ? {} : { confirmations: request.tool_confirmations }),
    ...samplingOf(request),
    ...(tokensMax === undefined ? {} : { tokensMax }),
    ...(request.contextMayEnd === true ? { contextMayEnd: true } : {}),
    ...(endUser === undefined ? {} : { endUser }),
  };
}

type CheckSchema = (schema: JsonSchema, param: string) => Promise<void>;

/** What the model may call; undefined for nothing. None where it must call what the policy denies. */
async function toolsOf(
  { tools, tool_choice: choice, parallel_tool_calls: parallel }: ChatRequest,
  names: Names,
  check: CheckSchema,
  offers: (tool: string) => boolean,
): Promise<Tools | undefined> {
  if (tools === undefined || tools.length === 0) {
    if (choice === undefined || choice === "none" || choice === "auto") return undefined;
    throw new Fault("invalid_value", "`tool_choice` asks for a call and `tools` names no function.", { param: "tool_choice" });
  }
  const all = tools.map(({ function: { name, description, parameters, strict } }) => ({
    name,
    ...(description === undefined ? {} : { description }),
    parameters: parameters === undefined ? { type: "object", properties: {}, additionalProperties: false } : fromDraft07(parameters),
    strict: strict === true,
  }));
  for (const [index, { parameters }] of all.entries()) {
    const param = `tools[${index}].${names.parameters}`;
    if (parameters.type !== undefined && ![parameters.type].flat().includes("object"))
      throw new Fault("invalid_value", `\`${param}\` must be a schema of an object: \`"type": "object"\`.`, { param });
    await check(parameters, param);
  }
  const twice = all.find(({ name }, index) => all.findIndex((one) => one.name === name) !== index);
  if (twice !== undefined) throw new Fault("invalid_value", `\`tools\` names the function ${twice.name} twice.`, { param: "tools" });
  const named = typeof choice === "object" ? choice.function.name : undefined;
  if (named !== undefined && !all.some(({ name }) => name === named))
    throw new Fault("invalid_value", `\`tool_choice\` names ${named}, which is not in \`tools\`.`, { param: "tool_choice" });
  const offered = all.filter(({ name }) => offers(name) && (named === undefined || name === named));
  const required = choice === "required" || named !== undefined;
  return choice === "none" || (offered.length === 0 && !required) ? undefined : { offered, required, parallel: parallel ?? true };
}

async function schemaOf({ response_format: format }: ChatRequest, names: Names, check: CheckSchema): Promise<JsonSchema | undefined> {
  if (format === undefined || format.type === "text") return undefined;
  if (format.type === "json_object") return { type: "object" };
  const { schema: sent } = format.json_schema;
  if (sent === undefined) throw new Fault("missing_parameter", `\`${names.schema}\` is missing.`, { param: names.schema });
  const schema = fromDraft07(sent);
  await check(schema, names.schema);
  return schema;
}

async function checkedSchema(schema: JsonSchema, param: string, caller: string, signal: AbortSignal): Promise<void> {
  try {
    await checkSchema(schema, caller, signal);
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw new Fault(error.code, `\`${param}\` ${error.message}.`, { param });
  }
}
