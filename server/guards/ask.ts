import { type Classifier, ClassifiersBusyError, type Origin } from "../../classifiers/classifier.ts";
import { Fault } from "../fault.ts";
import type { Asking } from "../pipeline/guard.ts";

/** A classifier's verdict for this caller. Throws a fault when too many texts wait, and whatever else the classifier throws: a guard that throws blocks. */
export async function ask<Verdict>(
  classifier: Classifier<Verdict>,
  text: string,
  { caller, signal }: Asking,
  origin: Origin = "user",
): Promise<Verdict> {
  try {
    return await classifier.judge(text, { origin, scope: caller, ...(signal === undefined ? {} : { signal }) });
  } catch (error) {
    if (error instanceof ClassifiersBusyError) throw new Fault("guards_busy", undefined, { cause: error });
    throw error;
  }
}
