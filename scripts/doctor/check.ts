import { sentenceOf } from "../failure.ts";

/** `fail`: something is broken, or keeps the service from running. */
export interface Check {
  readonly name: string;
  readonly state: "ok" | "warn" | "fail";
  /** What was found, and what to do unless it is ok. */
  readonly detail: string;
}

/** One check or several; what it throws is a failed check of that name, so that nothing keeps the others from being made. */
export async function examined(name: string, look: () => Promise<Check | Check[]> | Check | Check[]): Promise<Check[]> {
  try {
    return [await look()].flat();
  } catch (error) {
    return [{ name, state: "fail", detail: sentenceOf(error) ?? String(error) }];
  }
}
