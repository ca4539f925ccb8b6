import { z } from "zod";
import type { Call } from "../pipeline/call.ts";

/** What every request for an answer may say about how it is drawn, and where it ends. */
export const samplingShape = {
  stop: z.union([z.string().min(1).max(200), z.array(z.string().min(1).max(200)).max(4)]).nullish(),
  seed: z.int().nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  // Honoured in the one way that asks for nothing.
  n: z.literal(1, "only one answer a call is supported").nullish(),
  presence_penalty: z.literal(0, "penalties are not supported").nullish(),
  frequency_penalty: z.literal(0, "penalties are not supported").nullish(),
};

type Sampling = z.infer<z.ZodObject<typeof samplingShape>>;

export function samplingOf({ stop, seed, temperature, top_p: topP }: Sampling): Pick<Call, "stops" | "temperature" | "topP" | "seed"> {
  return {
    stops: typeof stop === "string" ? [stop] : (stop ?? []),
    ...(temperature == null ? {} : { temperature }),
    ...(topP == null ? {} : { topP }),
    ...(seed == null ? {} : { seed }),
  };
}

/** Whether the answer is streamed. */
export const streamShape = {
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_usage: z.boolean().optional() }).nullish(),
};
