import type { JsonSchema } from "./engine.ts";
import { count, unsupported } from "./grammar.ts";
import { type Patterns, patternGrammar } from "./pattern-grammar.ts";

/** Rules of the grammar in `json-grammar.ts` that hold a format. */
const formats: Readonly<Record<string, string>> = {
  date: "date",
  time: "clock zone",
  "date-time": 'date "T" clock zone',
  uuid: "uuid",
  ipv4: "ipv4",
  email: "email",
};

/** An expression for the strings that a schema at `path` allows. Beside a pattern a format is an annotation, as draft 2020-12 has it: Zod writes both. `patterns`: what its own are known to come to. */
export function stringGrammar({ minLength = 0, maxLength, format, pattern }: JsonSchema, path: string, patterns: Patterns): string {
  if (pattern !== undefined) {
    const { text, shortest, longest } = patternGrammar(pattern, path, patterns);
    if (shortest < count(minLength, "minLength", path) || (maxLength !== undefined && longest > count(maxLength, "maxLength", path)))
      throw unsupported(
        `\`pattern\` at ${path} lets texts through that \`minLength\` or \`maxLength\` don't. Say it in the pattern, as in [a-z]{1,20}.`,
      );
    return `"\\"" ${text} "\\""`;
  }
  if (format !== undefined) {
    const written = typeof format === "string" && Object.hasOwn(formats, format) ? formats[format] : undefined;
    if (written === undefined)
      throw unsupported(
        `The schema's \`format\` ${JSON.stringify(format)} can't be honoured at ${path}. Known: ${Object.keys(formats).join(", ")}.`,
      );
    if (minLength !== 0 || maxLength !== undefined) throw unsupported(`\`format\` can't be honoured together with a length, at ${path}.`);
    return `"\\"" ${written} "\\""`;
  }
  const low = count(minLength, "minLength", path);
  if (maxLength === undefined) return low === 0 ? "string" : `"\\"" char{${low},} "\\""`;
  const high = count(maxLength, "maxLength", path);
  if (high < low) throw unsupported(`${path} allows fewer characters than it asks for.`);
  return `"\\"" char{${low},${high}} "\\""`;
}
