import { type Classifier, ClassifiersBusyError, type JudgeOptions } from "../../classifiers/classifier.ts";
import { Fault } from "../fault.ts";
import type { Asking } from "../pipeline/guard.ts";

/** What classifiers are asked. Throws a fault when too many texts wait, and whatever else `work` throws. */
export async function unlessBusy<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ClassifiersBusyError) throw new Fault("guards_busy", undefined, { cause: error });
    throw error;
  }
}

/** A classifier's verdict for this caller. Throws as `unlessBusy` does: a guard that throws blocks. */
export async function ask<Verdict>(
  classifier: Pick<Classifier<Verdict>, "judge">,
  text: string,
  { caller, signal }: Asking,
  options: Pick<JudgeOptions, "origin" | "labels"> = {},
): Promise<Verdict> {
  return await unlessBusy(() => classifier.judge(text, { ...options, scope: caller, ...(signal === undefined ? {} : { signal }) }));
}

/** Texts of one call that wait for the classifiers at the same time: a long conversation must not fill the queue that others stand in. */
const sideBySide = 4;

/** `judge` of every item, in order. */
export async function each<Item, Result>(items: readonly Item[], judge: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index] as Item; // it is below the length
      results[index] = await judge(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(sideBySide, items.length) }, lane));
  return results;
}
