import { earliest, waitForWhole } from "./segment.ts";

/** Ends an answer at the first of the caller's stop texts, which is not released. They are the caller's words, so they are looked for in restored text. */
export class StopTexts {
  readonly #stops: readonly string[];
  #held = "";
  #reached = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** Whether a stop text has come. */
  get reached(): boolean {
    return this.#reached;
  }

  /** What of `text`, and of what was held back before, may be released; the beginning of a stop text waits unless `last`. */
  take(text: string, last: boolean): string {
    const all = this.#held + text;
    const stop = earliest(all, this.#stops);
    this.#reached = stop !== undefined;
    const end = stop ?? (last ? all.length : waitForWhole(this.#stops)(all));
    this.#held = all.slice(end);
    return all.slice(0, end);
  }
}
