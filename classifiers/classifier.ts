/** The door of this folder: what judges text, and what it answers. */
export { type Classifiers, openClassifiers, type Task, tasks } from "./classifiers.ts";
export type { Embedder, Embedding } from "./embedding/embedder.ts";
export { ClassifiersBusyError } from "./onnx/pool.ts";
export { type Entity, type Label, labels, patternLabels } from "./pii/entity.ts";
export { fold } from "./pii/fold.ts";
export { openFrom } from "./pii/open-from.ts";
export { findPersonalData } from "./pii/patterns.ts";
export type { TokenCount } from "./token-count.ts";
export {
  type Classifier,
  type EntityVerdict,
  type JudgeOptions,
  type Origin,
  origins,
  type TextVerdict,
} from "./verdict.ts";
