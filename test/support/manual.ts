import { readFileSync } from "node:fs";

/** The commands of a document, each to be run by a test. */
export class Manual {
  readonly #left: Set<string>;
  readonly #all: Set<string>;

  constructor(file: string) {
    const blocks = [...readFileSync(file, "utf8").matchAll(/```sh\n([\s\S]*?)```/gu)].map(([, code]) => code ?? "");
    this.#all = new Set(blocks.flatMap((code) => code.split("\n")).filter((line) => line !== ""));
    this.#left = new Set(this.#all);
  }

  /** The words of a command that the document has, its placeholders replaced. Throws when the document has no such command. */
  command(line: string, values: Record<string, string> = {}): string[] {
    if (!this.#all.has(line)) throw new Error(`the document has no command: ${line}`);
    this.#left.delete(line);
    const words = [...line.matchAll(/"([^"]*)"|(\S+)/gu)].map(([, quoted, plain]) => quoted ?? plain ?? "");
    return words.map((word) => word.replace(/[A-Z]{3,}|^install\.sh/u, (name) => values[name] ?? name));
  }

  /** Commands that nobody asked for. */
  get notRun(): string[] {
    return [...this.#left];
  }
}
