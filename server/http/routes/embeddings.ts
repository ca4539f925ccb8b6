import { randomUUID } from "node:crypto";
import type { RequestHandler } from "express";
import { z } from "zod";
import type { Embedder, Embedding } from "../../../classifiers/classifier.ts";
import { Fault } from "../../fault.ts";
import { unlessBusy } from "../../guards/ask.ts";
import type { Call } from "../../pipeline/call.ts";
import { CallRecord } from "../../pipeline/call-record.ts";
import type { Message } from "../../pipeline/guard.ts";
import { passage } from "../../pipeline/passage.ts";
import { reading } from "../../pipeline/reading.ts";
import { checked } from "../../wire/checked.ts";
import type { Service } from "../app.ts";
import { callerOf } from "../caller.ts";

/** As many as the vendor takes. What they come to is bounded by the policy's `tokens_max`. */
const textsMax = 2_048;

const text = z.string("only texts are supported, no tokens").min(1, "must not be empty");

export const embeddingRequestSchema = z.strictObject({
  input: z.union([text, z.array(text).min(1).max(textsMax)]),
  model: z.string().optional(),
  encoding_format: z.enum(["float", "base64"]).optional(),
  dimensions: z.literal(384, "the vectors have 384 numbers, and are not cut").optional(),
  user: z.string().max(512).optional(),
});

/**
 * OpenAI's `POST /v1/embeddings`. What the input gate blocks has no vector; what it would rewrite for a model that answers is taken as it stands, since a vector must stand for the text
 * itself and nobody but its sender gets it. Recorded like any call.
 */
export function embeddings(service: Service): RequestHandler {
  const { embedding: embedder } = service.classifiers;
  return async (request, response) => {
    const { input, model = embedder.model.id, encoding_format: format = "float", user } = checked(embeddingRequestSchema, request.body);
    if (model !== embedder.model.id)
      throw new Fault("model_not_found", `Embeddings are made by ${embedder.model.id}, and no other model.`, { param: "model" });
    const texts = typeof input === "string" ? [input] : input;
    const call = callOf(texts, callerOf(response), user);
    response.locals.callId = call.id;
    const { gates, recordContext } = service.policies.for(call.caller.name);
    const record = new CallRecord(service.audit, recordContext);
    const embedded = await service.running.run(response, (signal) =>
      reading(call, gates, embedder.model, record, signal, async () => {
        const result = await inTurn(embedder, texts, signal);
        return { result, tokens: tokensOf(result) };
      }),
    );
    const tokens = tokensOf(embedded);
    response.json({
      object: "list",
      model: embedder.model.id,
      data: embedded.map(({ vector }, index) => ({
        object: "embedding",
        index,
        embedding: format === "float" ? [...vector] : base64(vector),
      })),
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    });
  };
}

function callOf(texts: readonly string[], caller: Call["caller"], endUser: string | undefined): Call {
  const messages = texts.map((one, index): Message => ({ role: "user", index, origin: "document", passage: passage(one) }));
  return { id: `embd-${randomUUID()}`, caller, endpoint: "embeddings", messages, stops: [], ...(endUser === undefined ? {} : { endUser }) };
}

function tokensOf(embedded: readonly Embedding[]): number {
  return embedded.reduce((sum, { tokens }) => sum + tokens, 0);
}

/** One text after the other, so that a long list lets others by. */
async function inTurn(embedder: Embedder, texts: readonly string[], signal: AbortSignal): Promise<Embedding[]> {
  const embedded: Embedding[] = [];
  for (const one of texts) embedded.push(await unlessBusy(() => embedder.embed(one, signal)));
  return embedded;
}

function base64({ buffer, byteOffset, byteLength }: Float32Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString("base64");
}
