import { z } from "zod";
import { Fault } from "../fault.ts";
import type { Call } from "../pipeline/call.ts";
import { documentsSchema, messageSchema, messagesOf } from "./messages.ts";

/** OpenAI's `POST /v1/chat/completions`; what is not listed is refused by name. */
export const chatRequestSchema = z.strictObject({
  model: z.string().optional(),
  messages: z.array(messageSchema).min(1),
  /** Ours: texts from outside that the answer is to be found in. */
  documents: documentsSchema.optional(),
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_usage: z.boolean().optional() }).nullish(),
  stop: z.union([z.string().min(1).max(200), z.array(z.string().min(1).max(200)).max(4)]).nullish(),
  seed: z.int().nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  user: z.string().max(512).optional(),
  // Honoured in the one way that asks for nothing.
  n: z.literal(1, "only one answer a call is supported").nullish(),
  response_format: z.strictObject({ type: z.literal("text", "only `text` is supported") }).nullish(),
  presence_penalty: z.literal(0, "penalties are not supported").nullish(),
  frequency_penalty: z.literal(0, "penalties are not supported").nullish(),
  logprobs: z.literal(false, "log probabilities are not supported").nullish(),
});

export type ChatRequest = z.infer<typeof chatRequestSchema>;

export function callOf(request: ChatRequest, { id, caller }: Pick<Call, "id" | "caller">): Call {
  const { stop, seed, temperature, top_p: topP, user: endUser, max_tokens: older, max_completion_tokens: newer } = request;
  if (older != null && newer != null && older !== newer)
    throw new Fault("invalid_value", "`max_tokens` and `max_completion_tokens` differ. Give one of them.", { param: "max_tokens" });
  const tokensMax = newer ?? older;
  return {
    id,
    caller,
    endpoint: "chat.completions",
    messages: messagesOf(request.messages, request.documents),
    stops: typeof stop === "string" ? [stop] : (stop ?? []),
    ...(tokensMax == null ? {} : { tokensMax }),
    ...(temperature == null ? {} : { temperature }),
    ...(topP == null ? {} : { topP }),
    ...(seed == null ? {} : { seed }),
    ...(endUser === undefined ? {} : { endUser }),
  };
}
