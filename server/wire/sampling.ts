import { z } from "zod";
import type { Call } from "../pipeline/call.ts";

/** A number that is added to the odds of tokens. */
const penalty = z.number().min(-2).max(2).optional();
export const topK = z.int32().min(1).optional();
const biasesMax = 300;

const stopText = z.string().min(1).max(200);
export const stopTexts = z.array(stopText).max(16);

/** What every request for an answer may say about how it is drawn, and where it ends. */
export const samplingShape = {
  stop: z.union([stopText, stopTexts]).optional(),
  seed: z.int().optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  presence_penalty: penalty,
  frequency_penalty: penalty,
  logit_bias: z
    .record(z.string().regex(/^(?:0|[1-9]\d{0,6})$/u), z.number().min(-100).max(100))
    .refine((biases) => Object.keys(biases).length <= biasesMax, `takes ${biasesMax} tokens at most`)
    .optional(),
  /** Ours, as engines of other makers have it: only so many of the likeliest tokens. */
  top_k: topK,
  /** Ours, likewise: only tokens at least so likely, as a share of the likeliest. */
  min_p: z.number().min(0).max(1).optional(),
};

type Asked = z.infer<z.ZodObject<typeof samplingShape>>;

export function samplingOf({ stop, ...asked }: Asked): Pick<Call, "stops" | "sampling"> {
  const sampling = {
    temperature: asked.temperature,
    topP: asked.top_p,
    topK: asked.top_k,
    minP: asked.min_p,
    presencePenalty: asked.presence_penalty,
    frequencyPenalty: asked.frequency_penalty,
    logitBias: asked.logit_bias,
    seed: asked.seed,
  };
  return { stops: typeof stop === "string" ? [stop] : (stop ?? []), sampling };
}

/** Nothing is added to hide how long the pieces are. */
export const notObfuscated = z.literal(false, "pieces of an answer are not obfuscated").optional();

/** Whether the answer is streamed. */
export const streamShape = {
  stream: z.boolean().optional(),
  stream_options: z.strictObject({ include_usage: z.boolean().optional(), include_obfuscation: notObfuscated }).optional(),
};
