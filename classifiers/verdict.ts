import type { Entity, Label } from "./pii/entity.ts";

/** Where a text comes from: typed by the caller, a document, the result of a tool. */
export const origins = ["user", "document", "tool"] as const;
export type Origin = (typeof origins)[number];

/** How a text was read: as it stands; without what is not seen or only looks like something else; decoded; respelled; with its letters turned. */
export type ViewName = "original" | "plain" | "decoded" | "respelled" | "turned";

/** How much of a text was looked at. Tokens that were not are not evaluated, which is not the same as clean. */
export interface Coverage {
  readonly tokensTotal: number;
  readonly tokensScanned: number;
  readonly windows: number;
}

/** A stretch of a text, in UTF-16 code units; `end` is exclusive. */
export interface ScoredSpan {
  readonly start: number;
  readonly end: number;
  /** 0 to 1. */
  readonly score: number;
}

/** What a classifier of whole texts says. */
export interface TextVerdict extends Coverage {
  /** Id of the model that judged. */
  readonly model: string;
  /** 0 to 1: the highest of all windows. */
  readonly score: number;
  readonly threshold: number;
  /** Whether the score reaches the threshold. */
  readonly flagged: boolean;
  /** The last disguise that was taken off before the text was judged, for a classifier that does so. */
  readonly view?: ViewName;
  /** The windows that reach the threshold, where they stand in the text as it was given; such as touch or overlap are one. */
  readonly spans: readonly ScoredSpan[];
  /** Score of each category, where the classifier has any: delicate, and about this. */
  readonly categories?: Readonly<Record<string, number>>;
}

/** What the classifier of personal data says: the pieces in order, none over another. */
export interface EntityVerdict extends Coverage {
  /** From which score on a piece that the model alone sees is one. */
  readonly threshold: number;
  readonly entities: readonly Entity[];
}

export interface JudgeOptions {
  /** Defaults to `user`. */
  readonly origin?: Origin;
  readonly signal?: AbortSignal;
  /** Who may be answered from the same cached verdict, so that nobody learns from the time it takes what another sent. Defaults to everybody. */
  readonly scope?: string;
  /** What personal data is asked for: where two pieces overlap, one that nobody asked for hides none that is. Defaults to every label. */
  readonly labels?: readonly Label[];
}

/** A trained judge of texts. */
export interface Classifier<Verdict> {
  readonly model: { readonly id: string; readonly sha256: string };
  /** Throws `ClassifiersBusyError` when too many texts wait, the signal's reason when aborted, and whatever the runtime throws: never a verdict on a text it did not see. */
  judge(text: string, options?: JudgeOptions): Promise<Verdict>;
  /** Rejects, with the reason, when the model does not tell its known positive from its known negative. */
  selfTest(): Promise<void>;
}
