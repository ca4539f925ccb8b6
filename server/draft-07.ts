import type { JsonSchema } from "../models/engine.ts";

/** Keywords whose value is no schema, whatever it looks like. */
const data = new Set(["const", "enum", "default", "examples"]);
/** Keywords whose value names schemas. */
const named = new Set(["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"]);
/** What draft 7 says of a list item by item, as draft 2020-12 calls it. */
const renamed = new Map([
  ["items", "prefixItems"],
  ["additionalItems", "items"],
]);

/** The same schema in draft 2020-12, where it speaks of lists as draft 7 does: `items` of several schemas, which mean nothing in the other. */
export function fromDraft07(schema: JsonSchema): JsonSchema {
  const isOlder = Array.isArray(schema.items) && schema.prefixItems === undefined;
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => {
      const made = data.has(key) ? value : named.has(key) && isObject(value) ? each(value) : within(value);
      return [(isOlder ? renamed.get(key) : undefined) ?? key, made];
    }),
  );
}

function within(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(within);
  return isObject(value) ? fromDraft07(value) : value;
}

function each(schemas: JsonSchema): JsonSchema {
  return Object.fromEntries(Object.entries(schemas).map(([name, one]) => [name, within(one)]));
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
