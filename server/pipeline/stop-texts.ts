import { earliest, waitForWhole } from "./segment.ts";

/** Ends an answer at the first of the caller's stop texts, which is not released. They are the caller's words, so they are looked for in restored text. */
export class StopTexts {
  readonly #stops: readonly string[];
  #held = "";
  #reached: string | undefined;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** The stop text that has come. */
  get reached(): string | undefined {
    return this.#reached;
  }

  /** What of `text`, and of what was held back before, may be released; the beginning of a stop text waits unless `last`. */
  take(text: string, last: boolean): string {
    const all = this.#held + text;
    const stop = earliest(all, this.#stops);
    this.#reached = stop === undefined ? undefined : this.#stops.find((one) => all.startsWith(one, stop));
    const end = stop ?? (last ? all.length : waitForWhole(this.#stops)(all));
    this.#held = all.slice(end);
    return all.slice(0, end);
  }
}
