import { randomUUID } from "node:crypto";
import type { RequestHandler } from "express";
import { z } from "zod";
import type { Classifiers, TextVerdict } from "../../../classifiers/classifier.ts";
import { Fault } from "../../fault.ts";
import { ask, each } from "../../guards/ask.ts";
import { lengthGuard } from "../../guards/length.ts";
import type { Gates } from "../../pipeline/answer.ts";
import type { Asking, Message, Prompt } from "../../pipeline/guard.ts";
import { failureOf, inspect } from "../../pipeline/inspect.ts";
import { passage } from "../../pipeline/passage.ts";
import { newPseudonyms } from "../../pipeline/pseudonyms.ts";
import { Refusal } from "../../pipeline/refusal.ts";
import { checked } from "../../wire/checked.ts";
import { textPart } from "../../wire/messages.ts";
import type { Service } from "../app.ts";
import { callerOf } from "../caller.ts";

const textsMax = 64;

export const moderationRequestSchema = z.strictObject({
  input: z.union([
    z.string(),
    z
      .array(z.union([z.string(), textPart]))
      .min(1)
      .max(textsMax)
      .refine((all) => new Set(all.map((one) => typeof one)).size < 2, "holds either texts or parts of one"),
  ]),
  model: z.string().optional(),
});

/** OpenAI's `POST /v1/moderations`, answered by the classifier of delicate text, as much as the caller's policy lets be judged in one call; categories that OpenAI has carry its names. Not recorded: nothing is generated and no text is kept. */
export function moderations({ classifiers, policies, running }: Service): RequestHandler {
  return async (request, response) => {
    const { input } = checked(moderationRequestSchema, request.body);
    const texts = textsOf(input);
    const { name: caller } = callerOf(response);
    const verdicts = await running.run(response, async (signal) => {
      const asking = { caller, signal };
      await checkLength(texts, policies.for(caller).gates, asking);
      return await each(texts, (text) => judged(classifiers, text, asking));
    });
    response.json({ id: `modr-${randomUUID()}`, model: classifiers.delicate.model.id, results: verdicts.map(resultOf) });
  };
}

/** Parts are one text. */
function textsOf(input: z.infer<typeof moderationRequestSchema>["input"]): readonly string[] {
  if (typeof input === "string") return [input];
  const texts = input.filter((one) => typeof one === "string");
  const parts = input.filter((one) => typeof one === "object").map(({ text }) => text);
  return parts.length === 0 ? texts : [parts.join("\n\n")];
}

async function checkLength(texts: readonly string[], { input, sentences }: Gates, asking: Asking): Promise<void> {
  const messages = texts.map((text, index): Message => ({ role: "user", index, origin: "document", passage: passage(text) }));
  const prompt: Prompt = { messages, pseudonyms: newPseudonyms(messages, asking.caller) };
  const asked = await inspect(
    input.filter(({ name }) => name === lengthGuard),
    prompt,
    asking,
  );
  if (asked.action === "failed") throw failureOf(asked.cause);
  if (asked.action === "block") throw new Refusal(asked.code, asked.findings).in(sentences);
}

async function judged({ delicate }: Classifiers, text: string, asking: Asking): Promise<TextVerdict> {
  try {
    return await ask(delicate, text, asking);
  } catch (error) {
    asking.signal?.throwIfAborted();
    throw error instanceof Fault ? error : new Fault("guard_failed", undefined, { cause: error });
  }
}

/** As OpenAI means it: a text is flagged when one of its categories is, and one always is, the highest, when the text as a whole reaches the threshold. */
function resultOf({ flagged, score, threshold, categories = {}, tokensTotal, tokensScanned }: TextVerdict): object {
  const highest = Math.max(...Object.values(categories));
  return {
    flagged,
    categories: Object.fromEntries(
      Object.entries(categories).map(([name, one]) => [name, flagged && (one >= threshold || one === highest)]),
    ),
    category_scores: categories,
    category_applied_input_types: Object.fromEntries(Object.keys(categories).map((name) => [name, ["text"]])),
    score,
    threshold,
    coverage: { tokens_total: tokensTotal, tokens_scanned: tokensScanned },
  };
}
