import { randomUUID } from "node:crypto";
import type { RequestHandler } from "express";
import { z } from "zod";
import { type Classifiers, ClassifiersBusyError, type TextVerdict } from "../../../classifiers/classifier.ts";
import { Fault } from "../../fault.ts";
import { each } from "../../guards/ask.ts";
import { checked } from "../../wire/checked.ts";
import type { Service } from "../app.ts";
import { callerOf } from "../caller.ts";

const textsMax = 64;
const charsMax = 65_536;

export const moderationRequestSchema = z.strictObject({
  input: z.union([z.string(), z.array(z.string()).min(1).max(textsMax)]),
  model: z.string().optional(),
});

/** OpenAI's `POST /v1/moderations`, answered by the classifier of delicate text; categories that OpenAI has carry its names. Not recorded: nothing is generated and no text is kept. */
export function moderations({ classifiers, running }: Service): RequestHandler {
  return async (request, response) => {
    const asked = checked(moderationRequestSchema, request.body);
    const texts = typeof asked.input === "string" ? [asked.input] : asked.input;
    if (texts.reduce((sum, text) => sum + text.length, 0) > charsMax)
      throw new Fault("invalid_value", `\`input\` is longer than the ${charsMax} characters that are judged in one call.`, {
        param: "input",
      });
    const { name: scope } = callerOf(response);
    const verdicts = await running.run(response, (signal) => each(texts, (text) => judged(classifiers, text, { scope, signal })));
    response.json({ id: `modr-${randomUUID()}`, model: classifiers.delicate.model.id, results: verdicts.map(resultOf) });
  };
}

async function judged({ delicate }: Classifiers, text: string, options: { scope: string; signal: AbortSignal }): Promise<TextVerdict> {
  try {
    return await delicate.judge(text, options);
  } catch (error) {
    if (options.signal.aborted) throw options.signal.reason;
    if (error instanceof ClassifiersBusyError) throw new Fault("guards_busy", undefined, { cause: error });
    throw new Fault("guard_failed", undefined, { cause: error });
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
    score,
    threshold,
    coverage: { tokens_total: tokensTotal, tokens_scanned: tokensScanned },
  };
}
