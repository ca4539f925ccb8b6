import type { ViewName } from "../verdict.ts";
import { encodedEdits } from "./encoded.ts";
import { lookalikeEdits, plainEdits } from "./lookalikes.ts";
import { type Edit, edited, type Mapped, mapped } from "./mapped.ts";
import { leetEdits, spacedEdits } from "./respelled.ts";
import { turnedEdits } from "./turned.ts";
import { unseenEdits } from "./unseen.ts";

export interface View extends Mapped {
  readonly name: ViewName;
}

/** An encoding inside an encoding inside an encoding. */
const depthMax = 3;

/** Of one text: what decoding may add, in characters, so that no bomb goes off. */
const addedMax = 65_536;

/**
 * The texts that a hostile writer may have hidden in `text`, each with where its characters stood, the text itself first. A view that differs from
 * none before it is left out: an ordinary text has one. Linear in the length of `text` for each view.
 */
export function viewsOf(text: string): View[] {
  const original = mapped(text);
  const views: View[] = [{ name: "original", ...original }];
  const add = (name: ViewName, view: Mapped): Mapped => {
    if (views.every((known) => known.text !== view.text)) views.push({ name, ...view });
    return view;
  };
  const plain = add("plain", plainOf(original));
  let decoded = plain;
  for (let depth = 0; depth < depthMax * kindsMax; depth += 1) {
    const next = edited(decoded, encodedEdits(decoded.text));
    if (next === decoded || next.text.length > text.length + addedMax) break;
    decoded = plainOf(next);
  }
  add("decoded", decoded);
  add("respelled", passes(decoded, spacedEdits, leetEdits));
  add("turned", passes(decoded, turnedEdits));
  return views;
}

/** Encodings side by side are undone one kind a pass. */
const kindsMax = 2;

function plainOf(source: Mapped): Mapped {
  return passes(source, unseenEdits, plainEdits, lookalikeEdits);
}

function passes(source: Mapped, ...edits: readonly ((text: string) => Edit[])[]): Mapped {
  return edits.reduce((current, editsOf) => edited(current, editsOf(current.text)), source);
}
