import { z } from "zod";
import type { Call } from "../pipeline/call.ts";
import { passage } from "../pipeline/passage.ts";
import { samplingOf, samplingShape, streamShape } from "./sampling.ts";

/** The vendor's default. */
const tokensMaxDefault = 16;

const prompt = z.string("only texts are supported, no tokens").min(1, "must not be empty");

/** OpenAI's `POST /v1/completions`: a text to go on with. What is not listed is refused by name. */
export const completionRequestSchema = z.strictObject({
  model: z.string().optional(),
  prompt: z.union([prompt, z.array(prompt).length(1, "only one text a call is supported")]),
  ...streamShape,
  ...samplingShape,
  max_tokens: z.int().min(1).optional(),
  user: z.string().max(512).optional(),
  // Honoured in the one way that asks for nothing.
  n: z.literal(1, "only one answer a call is supported").optional(),
  best_of: z.literal(1, "only one answer a call is supported").optional(),
  echo: z.literal(false, "the prompt is not sent back").optional(),
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
    ...(endUser === undefined ? {} : { endUser }),
  };
}
