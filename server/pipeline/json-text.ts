import type { Passage } from "./passage.ts";

/** What stands for a quotation mark that begins or ends a string, in a text that is not shown to anybody; one that the model writes becomes an ordinary one. */
const mark = "\uff02";

const short: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

/** An answer in JSON while it is judged: its strings as an application will read them, so that nothing passes in escapes. `write` makes JSON of it again. */
export class JsonText {
  #shown = "";
  #readsString = false;
  #writesString = false;

  /** For the guards: with quotation marks where strings begin and end. */
  async *shown(texts: AsyncIterable<string>): AsyncGenerator<string> {
    for await (const text of this.read(texts)) {
      this.#shown += text;
      yield text.replaceAll(mark, '"');
    }
  }

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

  /** What the guards left, as it was read: with the marks that still stand. */
  kept({ text, runs }: Passage): string {
    return runs
      .map(({ start, length, originalStart, originalLength }) => {
        const left = text.slice(start, start + length);
        if (length !== originalLength) return left;
        return left.replaceAll('"', (char, at: number) => (this.#shown[originalStart + at] === mark ? mark : char));
      })
      .join("");
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
