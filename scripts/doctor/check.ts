import { sentenceOf } from "../failure.ts";

/** What a look at one thing found. */
export interface Diagnosis {
  /** `fail`: something is broken, or keeps the service from running. */
  readonly state: "ok" | "warn" | "fail";
  /** What was found, and what to do unless it is ok. */
  readonly detail: string;
}

export interface Check extends Diagnosis {
  readonly name: string;
}

/** One diagnosis or several, named; what it throws is a failed check, so that nothing keeps the others from being made. */
export async function examined(name: string, look: () => Promise<Diagnosis | Diagnosis[]> | Diagnosis | Diagnosis[]): Promise<Check[]> {
  try {
    return [await look()].flat().map((found) => ({ name, ...found }));
  } catch (error) {
    return [{ name, state: "fail", detail: sentenceOf(error) ?? String(error) }];
  }
}
