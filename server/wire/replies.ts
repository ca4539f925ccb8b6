/** The shapes of what this service answers: `/openapi.json` is made from them, and its test holds every answer against them. */
import { z } from "zod";
import { faults } from "../fault.ts";
import { findingsMax } from "../pipeline/finding.ts";
import { refusals } from "../pipeline/refusal.ts";

const findingSchema = z.object({
  guard: z.string(),
  label: z.string(),
  score: z.number(),
  threshold: z.number(),
  span: z
    .object({
      start: z.int(),
      end: z.int(),
      part: z.string().optional().describe("What of the message the offsets count in, where not its text"),
    })
    .describe("UTF-16 code units of the text as sent"),
  message: z.int().optional(),
  origin: z.enum(["operator", "user", "model", "document", "tool"]).optional(),
  view: z.string().optional(),
  model: z.string().optional(),
  action: z.enum(["shadow", "rewrite", "quarantine", "block"]),
});

const toldSchema = z.object({ findings: z.array(findingSchema).max(findingsMax), findings_total: z.int() });

export const errorSchema = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.enum([...Object.keys(faults), ...Object.keys(refusals)]),
    ...toldSchema.partial().shape,
  }),
});

/** The same in Anthropic's shape. */
export const anthropicErrorSchema = z.object({
  type: z.literal("error"),
  error: errorSchema.shape.error.extend({
    details: z.object({ error_code: z.string(), unsupported: z.array(z.string()) }).optional(),
  }),
  request_id: z.string().nullable(),
});

const usageSchema = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z
    .object({ cached_tokens: z.int() })
    .optional()
    .describe("How much of the prompt was read in an earlier call of the same caller"),
});

/** Beside the vendor's fields: why an answer ends where it does. */
const guardSchema = z.object({
  code: z.enum(Object.keys(refusals)),
  message: z.string(),
  ...toldSchema.shape,
  held: z.array(z.object({ name: z.string(), arguments: z.string(), confirmation: z.string() })).optional(),
});

const finishSchema = z.enum(["stop", "length", "tool_calls", "content_filter"]);

const toolCallShape = {
  id: z.string(),
  type: z.literal("function"),
  function: z.object({ name: z.string(), arguments: z.string() }),
};

/** Common to everything that a model answers. */
const answerShape = { id: z.string(), created: z.int().describe("Unix seconds"), model: z.string(), guard: guardSchema.optional() };

/** Where several answers were asked for, each has its own. */
const guardInChoice = guardSchema.optional();

export const chatReplySchema = z.object({
  ...answerShape,
  object: z.literal("chat.completion"),
  choices: z.array(
    z.object({
      index: z.int(),
      message: z.object({
        role: z.literal("assistant"),
        content: z.string().nullable(),
        refusal: z.null(),
        tool_calls: z.array(z.object(toolCallShape)).optional(),
      }),
      logprobs: z.null(),
      finish_reason: finishSchema,
      guard: guardInChoice,
    }),
  ),
  usage: usageSchema,
});

export const chatChunkSchema = z.object({
  ...answerShape,
  object: z.literal("chat.completion.chunk"),
  choices: z.array(
    z.object({
      index: z.int(),
      delta: z.object({
        role: z.literal("assistant").optional(),
        content: z.string().nullable().optional(),
        refusal: z.null().optional(),
        tool_calls: z.array(z.object({ index: z.int(), ...toolCallShape })).optional(),
      }),
      logprobs: z.null(),
      finish_reason: finishSchema.nullable(),
      guard: guardInChoice,
    }),
  ),
  usage: usageSchema.nullable().optional(),
});

const completionShape = {
  ...answerShape,
  object: z.literal("text_completion"),
  choices: z.array(z.object({ index: z.int(), text: z.string(), logprobs: z.null(), finish_reason: finishSchema.nullable() })),
};

export const completionReplySchema = z.object({ ...completionShape, usage: usageSchema });

export const completionChunkSchema = z.object({ ...completionShape, usage: usageSchema.nullable().optional() });

export const embeddingReplySchema = z.object({
  object: z.literal("list"),
  model: z.string(),
  data: z.array(
    z.object({
      object: z.literal("embedding"),
      index: z.int(),
      embedding: z.union([z.array(z.number()), z.string().describe("float32, little-endian, base64")]),
    }),
  ),
  usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
});

export const checkReplySchema = z.object({
  id: z.string(),
  object: z.literal("guard.check"),
  flagged: z.boolean(),
  blocked: z.boolean(),
  code: z.enum(Object.keys(refusals)).nullable(),
  unread: z.array(z.object({ message: z.int(), part: z.string() })).describe("Parts of files that are no text"),
  ...toldSchema.shape,
});

export const moderationReplySchema = z.object({
  id: z.string(),
  model: z.string(),
  results: z.array(
    z.object({
      flagged: z.boolean(),
      categories: z.record(z.string(), z.boolean()),
      category_scores: z.record(z.string(), z.number()),
      category_applied_input_types: z.record(z.string(), z.array(z.literal("text"))),
      score: z.number(),
      threshold: z.number(),
      coverage: z.object({ tokens_total: z.int(), tokens_scanned: z.int() }),
    }),
  ),
});

export const modelSchema = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int(),
  owned_by: z.string(),
  context_length: z.int(),
  sha256: z.string().nullable(),
  /** False: a call that names it waits until it is. */
  loaded: z.boolean(),
});

export const modelListSchema = z.object({ object: z.literal("list"), data: z.array(modelSchema) });

export const aliveSchema = z.object({ status: z.literal("ok") });

export const readinessSchema = z.object({
  status: z.enum(["ready", "not_ready"]),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), problem: z.string().optional() })),
  egress: z.object({ refused: z.boolean(), ways: z.array(z.string()) }),
});

const responseItemSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("message"),
    id: z.string(),
    status: z.string(),
    role: z.literal("assistant"),
    content: z.array(
      z.object({ type: z.literal("output_text"), text: z.string(), annotations: z.array(z.never()), logprobs: z.array(z.never()) }),
    ),
  }),
  z.object({
    type: z.literal("function_call"),
    id: z.string(),
    call_id: z.string(),
    name: z.string(),
    arguments: z.string(),
    status: z.string(),
  }),
]);

/** What is asked comes back beside these, as OpenAI's does. */
export const responsesReplySchema = z.looseObject({
  id: z.string(),
  object: z.literal("response"),
  created_at: z.int(),
  model: z.string(),
  status: z.enum(["in_progress", "completed", "incomplete"]),
  error: z.null(),
  incomplete_details: z.object({ reason: z.enum(["max_output_tokens", "content_filter"]) }).nullable(),
  output: z.array(responseItemSchema),
  usage: z
    .object({
      input_tokens: z.int(),
      input_tokens_details: z.object({ cached_tokens: z.int(), cache_write_tokens: z.literal(0) }),
      output_tokens: z.int(),
      output_tokens_details: z.object({ reasoning_tokens: z.int() }),
      total_tokens: z.int(),
    })
    .nullable(),
  store: z.literal(false),
  guard: guardSchema.optional(),
});

export const responsesEventSchema = z.looseObject({ type: z.string(), sequence_number: z.int() });

/** In place of the end. */
export const responsesErrorEventSchema = z.object({
  type: z.literal("error"),
  sequence_number: z.int(),
  ...errorSchema.shape.error.pick({ code: true, message: true, param: true }).shape,
});

export const responsesCountReplySchema = z.object({ object: z.literal("response.input_tokens"), input_tokens: z.int() });

export const anthropicCountReplySchema = z.object({ input_tokens: z.int() });

export const tokenizeReplySchema = z.object({ count: z.int(), max_model_len: z.int(), tokens: z.array(z.int()) });

export const anthropicReplySchema = z.object({
  id: z.string(),
  type: z.literal("message"),
  role: z.literal("assistant"),
  model: z.string(),
  content: z.array(
    z.discriminatedUnion("type", [
      z.object({ type: z.literal("text"), text: z.string(), citations: z.null() }),
      z.object({
        type: z.literal("tool_use"),
        id: z.string(),
        name: z.string(),
        input: z.record(z.string(), z.unknown()),
        caller: z.object({ type: z.literal("direct") }),
      }),
    ]),
  ),
  stop_reason: z.enum(["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]),
  stop_sequence: z.string().nullable(),
  stop_details: z
    .object({ type: z.literal("refusal"), category: z.null(), explanation: z.string(), guard: guardSchema })
    .nullable()
    .describe("Why an answer was refused"),
  usage: z.object({
    input_tokens: z.int(),
    cache_read_input_tokens: z.int(),
    cache_creation_input_tokens: z.int(),
    cache_creation: z.null(),
    output_tokens: z.int(),
    output_tokens_details: z.null(),
    server_tool_use: z.null(),
    service_tier: z.null(),
    inference_geo: z.null(),
    speed: z.null(),
  }),
  container: z.null(),
  diagnostics: z.null(),
  guard: guardSchema.optional(),
});

export const anthropicEventSchema = z.looseObject({ type: z.string() });
