import type { Tokens } from "../onnx/tokens.ts";
import type { Window } from "../onnx/windows.ts";
import { type Entity, type Label, labels } from "./entity.ts";

/** What a token classifier says of one window. */
export interface TaggedWindow {
  /** The tokens whose tags count. */
  readonly own: Window;
  /** Index of the first token whose logits are in `logits`. */
  readonly from: number;
  /** [tokens, tags], the window's special tokens left out. */
  readonly logits: Float32Array;
}

/** A word as the model sees it. */
interface Word {
  readonly start: number;
  readonly end: number;
  /** Most probable label, if it has one. */
  readonly label: Label;
  /** Whether it more probably begins an entity of this label than goes on with one. */
  readonly begins: boolean;
  /** Probability that it has any label. */
  readonly score: number;
}

/** The words of a text, in order; the first piece of a word speaks for it. @param tags `O`, then `B-` and `I-` of each label. */
export function* wordsOf(
  { starts, ends }: Tokens,
  windows: readonly TaggedWindow[],
  tags: readonly string[],
  temperature: number,
): Generator<Word> {
  for (const { own, from, logits } of windows) {
    for (let token = own.from; token < own.to; token += 1) {
      const start = starts[token] ?? 0;
      if (token > 0 && starts[token - 1] === start) continue;
      const tagLogits = logits.subarray((token - from) * tags.length, (token - from + 1) * tags.length);
      yield { start, end: ends[token] ?? start, ...read(tagLogits, tags, temperature) };
    }
  }
}

/** Neighbouring words whose score reaches the threshold, as entities. */
export function entitiesOf(words: Iterable<Word>, threshold: number): Entity[] {
  const entities: Entity[] = [];
  let open: Entity | undefined;
  for (const { start, end, label, begins, score } of words) {
    if (score < threshold) open = undefined;
    else if (open?.label === label && !begins) {
      open = { ...open, end, score: Math.min(open.score, score) };
      entities[entities.length - 1] = open;
    } else {
      open = { start, end, label, score };
      entities.push(open);
    }
  }
  return entities;
}

/** Probability of any tag but `O`, and the most probable label of those, its two tags taken together. */
function read(logits: Float32Array, tags: readonly string[], temperature: number): Pick<Word, "label" | "begins" | "score"> {
  const highest = Math.max(...logits);
  const weights = Array.from(logits, (logit) => Math.exp((logit - highest) / temperature));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  let best = 1;
  for (let at = 1; at + 1 < tags.length; at += 2) {
    if ((weights[at] ?? 0) + (weights[at + 1] ?? 0) > (weights[best] ?? 0) + (weights[best + 1] ?? 0)) best = at;
  }
  const name = tags[best]?.slice(2);
  const label = labels.find((one) => one === name);
  if (label === undefined) throw new Error(`The model has a tag that is no label: ${tags[best]}.`);
  return { label, begins: (weights[best] ?? 0) > (weights[best + 1] ?? 0), score: 1 - (weights[0] ?? 0) / sum };
}
