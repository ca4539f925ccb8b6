import { Ajv2020 } from "ajv/dist/2020.js";
import { RE2JS, RE2JSSyntaxException } from "re2js";
import type { JsonSchema } from "../models/engine.ts";

/** Says what is wrong with a value; undefined when it fits. */
export type Misfit = (value: unknown) => string | undefined;

type Code = "invalid_value" | "schema_unsupported";

/** A schema that can't be used; the message says why, in words fit for its author, and the code whether it is one. */
export class SchemaError extends Error {
  readonly code: Code;

  constructor(message: string, { code = "invalid_value", cause }: { code?: Code; cause?: unknown } = {}) {
    super(message, { cause });
    this.code = code;
  }
}

/** How long it takes to read is bounded by whoever asks: a list of thousands of values takes some milliseconds, as many properties take seconds. */
const charsMax = 262_144;
const checksKept = 50;
/** Of all that are kept together: a check takes more memory than its text. */
const charsKept = 1_638_400;
const checks = new Map<string, Misfit>();

/**
 * The check that a schema asks for, read as draft 2020-12 whatever it names. Its patterns are read by RE2, in linear time; the rest may take as long as it
 * likes, so a schema of a caller is read in a thread of its own (`caller-schema.ts`). `caller`: who sent it, so that nobody learns from the time it takes what
 * another's says; none sent an operator's. Throws `SchemaError`.
 */
export function misfitOf(schema: JsonSchema, caller = ""): Misfit {
  const text = JSON.stringify(schema);
  const key = JSON.stringify([caller, text]);
  const known = checks.get(key);
  if (known !== undefined) return known;
  if (text.length > charsMax) throw new SchemaError(`is longer than ${charsMax} characters`);
  const made = compile(schema);
  checks.set(key, made);
  let kept = [...checks.keys()].reduce((sum, one) => sum + one.length, 0);
  for (const [oldest] of checks) {
    if (checks.size <= checksKept && kept <= charsKept) break;
    checks.delete(oldest);
    kept -= oldest.length;
  }
  return made;
}

const linear = Object.assign(
  (pattern: string): { test(text: string): boolean; toString(): string } => {
    const compiled = read(pattern);
    // Ajv tells expressions apart by their text.
    return { test: (text) => compiled.matcher(text).find(), toString: () => pattern };
  },
  { code: "linear" },
);

/** ECMA 262 has more than RE2 reads: what looks around or refers back, and more than 1,000 repetitions. */
class UnreadablePattern extends Error {
  readonly pattern: string;

  constructor(pattern: string, cause: RE2JSSyntaxException) {
    super([cause.getDescription(), ...(cause.getPattern() ? [`\`${cause.getPattern()}\``] : [])].join(" "), { cause });
    this.pattern = pattern;
  }
}

function read(pattern: string): RE2JS {
  try {
    return RE2JS.compile(RE2JS.translateRegExp(pattern));
  } catch (error) {
    throw error instanceof RE2JSSyntaxException ? new UnreadablePattern(pattern, error) : error;
  }
}

const options = { strict: false, validateFormats: false, logger: false, code: { regExp: linear } } as const;

/** Knows the schema of schemas, and never another one. */
const meta = new Ajv2020(options);

function compile({ $schema: _, $id: __, $async: ___, ...schema }: JsonSchema): Misfit {
  try {
    if (!meta.validateSchema(schema)) throw new Error(meta.errorsText(meta.errors, { dataVar: "" }));
    // One for each schema: it keeps what it has read, and no schema can name a part of another.
    const ajv = new Ajv2020({ ...options, meta: false, validateSchema: false });
    const fits = ajv.compile(schema);
    return (value) => (fits(value) === true ? undefined : ajv.errorsText(fits.errors, { dataVar: "" }));
  } catch (cause) {
    if (cause instanceof UnreadablePattern)
      throw new SchemaError(`holds a pattern that can't be checked, at ${placeOf(cause.pattern, schema) ?? "#"}: ${cause.message}`, {
        code: "schema_unsupported",
        cause,
      });
    // What walks over it, or is made of it, has a stack of its own bound.
    if (cause instanceof RangeError) throw new SchemaError("is too large to check. Simplify it", { cause });
    throw new SchemaError(`is not a JSON Schema: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

/** Where a pattern stands in a schema: the first of several places. */
function placeOf(pattern: string, value: unknown, path = "#"): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, one] of Object.entries(value)) {
    if ((key === "pattern" && one === pattern) || (key === "patternProperties" && Object.hasOwn(Object(one), pattern)))
      return `${path}/${key}`;
    const place = placeOf(pattern, one, `${path}/${key}`);
    if (place !== undefined) return place;
  }
  return undefined;
}
