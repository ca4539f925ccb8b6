import type { Segment } from "./guard.ts";
import type { Passage } from "./passage.ts";

/** What stands for a quotation mark that begins or ends a string, in a text that is not shown to anybody; one that the model writes becomes an ordinary one. */
const mark = "\uff02";

const short: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

/** An answer in JSON while it is judged: its strings as an application will read them, so that nothing passes in escapes. `write` makes JSON of it again. */
export class JsonText {
  #readsString = false;
  #writesString = false;

  /** `texts` may be cut anywhere. */
  async *read(texts: AsyncIterable<string>): AsyncGenerator<string> {
    let open = "";
    for await (const text of texts) {
      const whole = open + text;
      open = /(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3})?)$/u.exec(whole)?.[1] ?? "";
      yield this.#read(whole.slice(0, whole.length - open.length));
    }
    if (open !== "") yield this.#read(open);
  }

  #read(text: string): string {
    return text.replaceAll(/\\u([0-9a-fA-F]{4})|\\(.)|["\uff02]/gsu, (whole, code: string | undefined, escaped: string | undefined) => {
      if (whole === '"') {
        this.#readsString = !this.#readsString;
        return mark;
      }
      if (!this.#readsString) return whole === mark ? "" : whole;
      const char = code === undefined ? (short[escaped ?? ""] ?? escaped ?? whole) : String.fromCharCode(Number.parseInt(code, 16));
      return char === mark ? '"' : char;
    });
  }

  /** For the guards: with quotation marks where strings begin and end. */
  shown(text: string): string {
    return text.replaceAll(mark, '"');
  }

  /** What the guards left of a segment that they were shown. */
  kept({ text, runs }: Passage, { passage: judged, released }: Segment): string {
    const keptOf = ({ start, length, originalStart, originalLength }: Passage["runs"][number]): string => {
      const left = text.slice(start, start + length);
      const at = originalStart - released.length;
      const own = judged.text.slice(at, at + originalLength);
      return this.shown(own) === left ? own : left;
    };
    return runs.map(keptOf).join("");
  }

  /** In order, as it was read. */
  write(text: string): string {
    return text.replaceAll(/["\\\p{Cc}\uff02]/gu, (char) => {
      if (char !== mark) return this.#writesString ? JSON.stringify(char).slice(1, -1) : char;
      this.#writesString = !this.#writesString;
      return '"';
    });
  }
}
