import { Ajv2020 } from "ajv/dist/2020.js";
import { RE2JS } from "re2js";
import type { JsonSchema } from "../models/engine.ts";

/** Says what is wrong with a value; undefined when it fits. */
export type Misfit = (value: unknown) => string | undefined;

/** A schema that can't be used; the message says why, in words fit for its author. */
export class SchemaError extends Error {}

const charsMax = 32_768;
const checksKept = 200;
const checks = new Map<string, Misfit>();

/** The check that a schema asks for, read as draft 2020-12 whatever it names. Its patterns are read by RE2, in linear time. Throws `SchemaError`. */
export function misfitOf(schema: JsonSchema): Misfit {
  const text = JSON.stringify(schema);
  const known = checks.get(text);
  if (known !== undefined) return known;
  if (text.length > charsMax) throw new SchemaError(`is longer than ${charsMax} characters`);
  const made = compile(schema);
  if (checks.size >= checksKept) checks.delete([...checks.keys()][0] ?? "");
  checks.set(text, made);
  return made;
}

const linear = Object.assign(
  (pattern: string): { test(text: string): boolean; toString(): string } => {
    const compiled = RE2JS.compile(pattern);
    // Ajv tells expressions apart by their text.
    return { test: (text) => compiled.matcher(text).find(), toString: () => pattern };
  },
  { code: "linear" },
);

const ajv = new Ajv2020({ strict: false, validateFormats: false, logger: false, addUsedSchema: false, code: { regExp: linear } });

function compile({ $schema: _, $id: __, ...schema }: JsonSchema): Misfit {
  try {
    const fits = ajv.compile(schema);
    return (value) => (fits(value) ? undefined : ajv.errorsText(fits.errors, { dataVar: "" }));
  } catch (cause) {
    throw new SchemaError(`is not a JSON Schema: ${cause instanceof Error ? cause.message : cause}`, { cause });
  } finally {
    ajv.removeSchema(schema); // Ajv would keep it for good
  }
}
