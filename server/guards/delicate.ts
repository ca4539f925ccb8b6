import type { Classifier, TextVerdict } from "../../classifiers/classifier.ts";
import type { Finding } from "../pipeline/finding.ts";
import type { Asking, Guard, Prompt, SegmentGuard, Verdict } from "../pipeline/guard.ts";
import { joined, type Span, slice, spanInOriginal } from "../pipeline/passage.ts";
import { ask, each } from "./ask.ts";

export interface DelicateSettings {
  readonly action: "block" | "shadow";
  /** Default: the model's own. */
  readonly threshold?: number | undefined;
}

const name = "delicate";

/** What the classifier sees of an answer before a new sentence, in characters. */
const contextChars = 1_000;

/** Input gate: every message but the operator's. */
export function delicateInPrompt(delicate: Classifier<TextVerdict>, settings: DelicateSettings): Guard<Prompt> {
  return {
    name,
    async inspect({ messages }, asking) {
      const found = await each(messages, async ({ origin, passage, index }): Promise<Finding[]> => {
        const seen = origin === "operator" ? undefined : await seenIn(delicate, settings, passage.text, asking);
        return seen === undefined ? [] : [{ ...seen, span: spanInOriginal(passage, seen.span), message: index, origin }];
      });
      return verdictOf(settings, found.flat());
    },
  };
}

/** Output gate. Before a sentence leaves it is judged with what stands before it, and the whole answer before its end; `shadow` judges the whole only, and holds nothing back. */
export function delicateInAnswer(delicate: Classifier<TextVerdict>, settings: DelicateSettings): SegmentGuard {
  return {
    name,
    wait: (text) => text.length,
    bySentence: settings.action === "block",
    async inspect({ released, passage, last }, asking) {
      if (settings.action === "shadow" && !last) return { action: "pass", findings: [] };
      const from = last ? 0 : Math.max(0, released.text.length - contextChars);
      const judged = joined([slice(released, from), passage], "");
      const seen = await seenIn(delicate, settings, judged.text, asking);
      return verdictOf(settings, seen === undefined ? [] : [{ ...seen, span: spanInOriginal(judged, seen.span) }]);
    },
  };
}

async function seenIn(
  delicate: Classifier<TextVerdict>,
  { action, threshold }: DelicateSettings,
  text: string,
  asking: Asking,
): Promise<Finding | undefined> {
  const verdict = await ask(delicate, text, asking);
  const least = threshold ?? verdict.threshold;
  if (verdict.windows === 0 || verdict.score < least) return undefined;
  const [category] = Object.entries(verdict.categories ?? {}).toSorted(([, one], [, other]) => other - one);
  return {
    guard: name,
    label: category?.[0].toUpperCase().replaceAll("-", "_") ?? "DELICATE",
    score: verdict.score,
    threshold: least,
    span: verdict.spans.toSorted((a, b) => b.score - a.score)[0] ?? whole(text),
    model: verdict.model,
    action,
  };
}

function whole(text: string): Span {
  return { start: 0, end: text.length };
}

function verdictOf<Subject>({ action }: DelicateSettings, findings: readonly Finding[]): Verdict<Subject> {
  return findings.length > 0 && action === "block" ? { action: "block", code: "delicate", findings } : { action: "pass", findings };
}
