/** The door of this folder: what judges text, and what it answers. */
export { type Entity, type Label, labels } from "./pii/entity.ts";
export { openFrom } from "./pii/open-from.ts";
export { findPersonalData } from "./pii/patterns.ts";
