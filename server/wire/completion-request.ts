import { z } from "zod";
import type { Call } from "../pipeline/call.ts";
import { passage } from "../pipeline/passage.ts";
import { samplingOf, samplingShape, streamShape } from "./sampling.ts";

/** The vendor's default. */
const tokensMaxDefault = 16;

const prompt = z.string().min(1);

/** OpenAI's `POST /v1/completions`: a text to go on with. What is not listed is refused by name. */
export const completionRequestSchema = z.strictObject({
  model: z.string().optional(),
  prompt: z.union([prompt, z.array(prompt, "only texts are supported, no tokens").length(1, "only one text a call is supported")]),
  ...streamShape,
  ...samplingShape,
  max_tokens: z.int().min(1).nullish(),
  user: z.string().max(512).nullish(),
  // Honoured in the one way that asks for nothing.
  n: z.literal(1, "only one answer a call is supported").nullish(),
  best_of: z.literal(1, "only one answer a call is supported").nullish(),
  echo: z.literal(false, "the prompt is not sent back").nullish(),
  suffix: z.null("filling in before a suffix is not supported").optional(),
  logprobs: z.null("log probabilities are not supported").optional(),
});

export type CompletionRequest = z.infer<typeof completionRequestSchema>;

/** The prompt is judged as what a user says: a caller writes it, all of it. */
export function completionCallOf(request: CompletionRequest, { id, caller }: Pick<Call, "id" | "caller">): Call {
  const { prompt, max_tokens: tokensMax, user: endUser } = request;
  return {
    id,
    caller,
    endpoint: "completions",
    messages: [{ role: "user", index: 0, origin: "user", passage: passage(typeof prompt === "string" ? prompt : (prompt[0] ?? "")) }],
    params: { messages: "prompt", schema: "" },
    tokensMax: tokensMax ?? tokensMaxDefault,
    ...samplingOf(request),
    ...(endUser == null ? {} : { endUser }),
  };
}
