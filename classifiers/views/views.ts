import type { ViewName } from "../verdict.ts";
import { encodedEdits } from "./encoded.ts";
import { lookalikeEdits, plainEdits } from "./lookalikes.ts";
import { type Edit, edited, type Mapped, mapped } from "./mapped.ts";
import { leetEdits, spacedEdits } from "./respelled.ts";
import { turnedEdits } from "./turned.ts";
import { unseenEdits } from "./unseen.ts";

/** A text as it is read, with where its characters stand in the text as it was sent. */
export interface View extends Mapped {
  /** The last disguise that was taken off. */
  readonly name: ViewName;
  /** Otherwise disguises are left: there are too many in each other, or the text would grow too long without them. */
  readonly isWhole: boolean;
}

/** An encoding inside an encoding inside an encoding, and none left in the last pass. */
const passesMax = 6;

/** What taking off may add, in characters, so that no bomb goes off. */
const addedMax = 65_536;

/**
 * `text` with its disguises taken off, each where it stands, the rest as it is: an attack is seen in what it says, and a harmless text is not suspect for
 * how it is written. The text itself when there are none. Linear in the length of `text` for each pass.
 */
export function unveiled(text: string): View {
  let view: View = { name: "original", isWhole: true, ...mapped(text) };
  for (let pass = 0; pass < passesMax; pass += 1) {
    const next = steps.reduce((current, [name, ...edits]) => takenOff(current, name, edits), view);
    if (next === view) return view;
    if (next.text.length > text.length + addedMax) break;
    view = next;
  }
  return { ...view, isWhole: false };
}

const steps: readonly [ViewName, ...((text: string) => Edit[])[]][] = [
  ["plain", unseenEdits, plainEdits, lookalikeEdits],
  ["decoded", encodedEdits],
  ["respelled", spacedEdits, leetEdits],
  ["turned", turnedEdits],
];

/** The same object when there is nothing to take off. */
function takenOff(view: View, name: ViewName, edits: readonly ((text: string) => Edit[])[]): View {
  const next = edits.reduce<Mapped>((current, editsOf) => edited(current, editsOf(current.text)), view);
  return next === view ? view : { ...view, name, ...next };
}
