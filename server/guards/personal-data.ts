import type { Classifier, Entity, EntityVerdict, Label } from "../../classifiers/classifier.ts";
import { findPersonalData, openFrom, patternLabels } from "../../classifiers/classifier.ts";
import type { Guard, Message, Prompt, SegmentGuard } from "../pipeline/guard.ts";
import { rewrite } from "../pipeline/passage.ts";
import { isPlaceholder } from "../pipeline/placeholder.ts";
import { pseudonymise } from "../pipeline/pseudonyms.ts";
import { ask, each } from "./ask.ts";
import { acting, type Detection, findingsOf, segmentGuard } from "./detector.ts";

export interface PersonalDataSettings {
  readonly action: "mask" | "block" | "shadow";
  readonly labels: readonly Label[];
}

const name = "personal_data";

const rowCharsMax = 256;

/** Input gate: the model sees a placeholder instead of each value, the same for the same value. */
export function personalDataInPrompt(pii: Classifier<EntityVerdict>, { action, labels }: PersonalDataSettings): Guard<Prompt> {
  return {
    name,
    async inspect(prompt, asking) {
      const found = await each(prompt.messages, ({ passage }) => ask(pii, passage.text, asking, { labels }));
      const values = found.flatMap(({ entities }, index) =>
        entities.map((one) => ({ label: one.label, value: valueIn(prompt.messages[index], one) })),
      );
      const { pseudonyms, placeholders } = pseudonymise(prompt.pseudonyms, values);
      let next = 0;
      const detections = found.map(({ entities, threshold }) =>
        entities.map((one) => detection(one, threshold, action, placeholders[next++] ?? "")),
      );
      const findings = prompt.messages.flatMap((message, index) => findingsOf(name, detections[index] ?? [], message.passage, message));
      if (findings.length === 0 || action === "shadow") return { action: "pass", findings };
      if (action === "block") return { action: "block", code: name, findings };
      const messages = prompt.messages.map(
        (message, index): Message => ({ ...message, passage: rewrite(message.passage, detections[index] ?? []) }),
      );
      return { action: "rewrite", subject: { messages, pseudonyms }, findings };
    },
  };
}

/**
 * Output gate: the caller's own values are placeholders here, so any real value in an answer is new, and leaves as its label only. What has a shape is
 * found by patterns as the text streams; names, places and the like are judged by the sentence. A key over many lines is one value.
 */
export function personalDataInAnswer(pii: Classifier<EntityVerdict>, { action, labels }: PersonalDataSettings): SegmentGuard {
  const shaped = labels.every((label) => (patternLabels as readonly Label[]).includes(label));
  const guard = segmentGuard(
    name,
    name,
    async (text, asking) => {
      const { entities, threshold } = shaped
        ? { entities: findPersonalData(text), threshold: 1 }
        : await ask(pii, text, asking, { labels });
      return (
        entities
          // A placeholder, also after "password:", is what the input gate put there.
          .filter((one) => labels.includes(one.label) && !isPlaceholder(text.slice(one.start, one.end)))
          .map((one) => detection(one, threshold, action, `[${one.label}]`))
      );
    },
    (text, isCutHere) => (isCutHere === true && endsInRow(text) ? text.length : openFrom(text)),
  );
  return { ...guard, bySentence: !shaped, whole: findPersonalData };
}

/** Whether a longer row of numbers than waits whole ends `text`. What a word before it says of the first has been heard by then, and a cut cuts none in two. */
function endsInRow(text: string): boolean {
  return text.length >= rowCharsMax && !/\p{L}/u.test(text.slice(-rowCharsMax));
}

/** What a pattern finds was not weighed. */
function detection(
  { start, end, label, score }: Entity,
  threshold: number,
  action: PersonalDataSettings["action"],
  replacement: string,
): Detection {
  return { label, span: { start, end }, score, threshold: score === 1 ? 1 : threshold, action: acting[action], replacement };
}

function valueIn(message: Message | undefined, { start, end }: Entity): string {
  return message?.passage.text.slice(start, end) ?? "";
}
