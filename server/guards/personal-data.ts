import type { Entity, Label } from "../../classifiers/classifier.ts";
import { findPersonalData, openFrom } from "../../classifiers/classifier.ts";
import type { Guard, Message, Prompt, SegmentGuard } from "../pipeline/guard.ts";
import { rewrite } from "../pipeline/passage.ts";
import { pseudonymise } from "../pipeline/pseudonyms.ts";
import { type Detection, findingsOf, segmentGuard } from "./detector.ts";

export interface PersonalDataSettings {
  readonly action: "mask" | "block";
  readonly labels: readonly Label[];
}

const name = "personal_data";

/** Input gate: the model sees a placeholder instead of each value, the same for the same value. */
export function personalDataInPrompt({ action, labels }: PersonalDataSettings): Guard<Prompt> {
  return {
    name,
    inspect(prompt) {
      const found = prompt.messages.map(({ passage }) => findPersonalData(passage.text).filter((one) => labels.includes(one.label)));
      const values = found.flatMap((entities, index) =>
        entities.map((one) => ({ label: one.label, value: valueIn(prompt.messages[index], one) })),
      );
      const { pseudonyms, placeholders } = pseudonymise(prompt.pseudonyms, values);
      let next = 0;
      const detections = found.map((entities) => entities.map((one) => detection(one, action, placeholders[next++] ?? "")));
      const findings = prompt.messages.flatMap(({ passage }, index) => findingsOf(name, detections[index] ?? [], passage, index));
      if (findings.length === 0) return { action: "pass", findings };
      if (action === "block") return { action: "block", code: name, findings };
      const messages = prompt.messages.map(
        (message, index): Message => ({ ...message, passage: rewrite(message.passage, detections[index] ?? []) }),
      );
      return { action: "rewrite", subject: { messages, pseudonyms }, findings };
    },
  };
}

/** Output gate: the caller's own values are placeholders here, so any real value in an answer is new, and leaves as its label only. */
export function personalDataInAnswer({ action, labels }: PersonalDataSettings): SegmentGuard {
  const detect = (text: string): Detection[] =>
    findPersonalData(text)
      .filter((one) => labels.includes(one.label) && !placeholder.test(text.slice(one.start, one.end)))
      .map((one) => detection(one, action, `[${one.label}]`));
  return segmentGuard(name, name, detect, openFrom);
}

/** A placeholder after "password:" is what the input gate put there. */
const placeholder = /^<[A-Z_]+_\d+_[a-z2-9]{6}>?$/u;

function detection({ start, end, label }: Entity, action: "mask" | "block", replacement: string): Detection {
  return { label, span: { start, end }, action: action === "mask" ? "rewrite" : "block", replacement };
}

function valueIn(message: Message | undefined, { start, end }: Entity): string {
  return message?.passage.text.slice(start, end) ?? "";
}
