import { EngineFault, type JsonSchema } from "./engine.ts";
import { unsupported } from "./grammar.ts";

/** Larger ones take llama.cpp long to read. */
const nodesMax = 2_000;
const depthMax = 100;
/** Characters of references, and values, that are gone through to tell the choices of a schema apart. */
const comparedMax = 200_000;
/** References in a row that are followed. */
const followedMax = 20;
/** Keywords that say nothing about which values fit. */
export const annotations = new Set(
  "$schema $comment $anchor title description default examples deprecated readOnly writeOnly strict contentMediaType contentEncoding".split(
    " ",
  ),
);

/** A JSON Schema, and what its references, parts and choices come to. It bounds how much of it is looked at. */
export class SchemaDocument {
  readonly whole: JsonSchema;
  #nodes = 0;
  #depth = 0;
  #compared = 0;

  constructor({ $id: _, ...whole }: JsonSchema) {
    this.whole = whole;
  }

  /** Counts a part of the schema, which may have parts of its own. Throws `Unusable` beyond the limits. */
  counted<Made>(make: () => Made): Made {
    this.#nodes += 1;
    if (this.#nodes > nodesMax) throw new Unusable(`The schema has more than ${nodesMax} parts. Simplify it.`);
    this.#depth += 1;
    if (this.#depth > depthMax)
      throw new Unusable(`The schema is more than ${depthMax} levels deep, or refers to itself without end. Simplify it.`);
    try {
      return make();
    } finally {
      this.#depth -= 1;
    }
  }

  /** What a reference leads to. */
  at(reference: unknown, path: string): unknown {
    if (typeof reference !== "string" || (reference !== "#" && !reference.startsWith("#/")))
      throw unsupported(`\`$ref\` at ${path} can be honoured where it is \`#\` or begins with \`#/\`.`);
    this.#compare(reference.length);
    let found: unknown = this.whole;
    for (const step of reference.slice(1).split("/").slice(1)) {
      const key = decoded(step).replaceAll("~1", "/").replaceAll("~0", "~");
      found = typeof found === "object" && found !== null && Object.hasOwn(found, key) ? (found as JsonSchema)[key] : undefined;
    }
    if (found === undefined) throw unsupported(`\`$ref\` at ${path} names nothing: ${reference}.`);
    return found;
  }

  /** What a reference, or a row of them, leads to, with what is said beside it. */
  followed(schema: unknown, path: string): JsonSchema {
    let found = schema;
    for (let steps = 0; isSchema(found) && found.$ref !== undefined; steps += 1) {
      if (steps === followedMax) throw unsupported(`\`$ref\` at ${path} refers to itself without end.`);
      const beside = Object.keys(found).find((key) => key !== "$ref" && key !== "$defs" && key !== "definitions" && !annotations.has(key));
      if (beside !== undefined) throw unsupported(`\`$ref\` at ${path} can't be honoured beside \`${beside}\`.`);
      found = this.at(found.$ref, path);
    }
    if (!isSchema(found)) throw unsupported(`There is no schema where ${path} says there is one.`);
    return found;
  }

  /** One schema for objects that fit all of `parts`. */
  merged(parts: readonly unknown[], path: string): JsonSchema {
    const properties = new Map<string, unknown>();
    const required: unknown[] = [];
    let closed: unknown;
    const said = parts.map((part) => this.counted(() => this.#objectPart(part, path))).filter((part) => Object.keys(part).length > 0);
    for (const part of said) {
      for (const [key, value] of Object.entries(part)) {
        if (key === "properties" && isSchema(value)) {
          for (const [name, one] of Object.entries(value)) {
            if (properties.has(name)) throw unsupported(`\`allOf\` at ${path} can't be honoured where two parts name \`${name}\`.`);
            properties.set(name, one);
          }
        } else if (key === "required" && Array.isArray(value)) required.push(...value);
        else if (key === "additionalProperties" && (value === true || said.length === 1)) closed = value;
        else throw unsupported(`\`allOf\` at ${path} can't be honoured beside \`${key}\`.`);
      }
    }
    return {
      type: "object",
      properties: Object.fromEntries(properties),
      required,
      ...(closed === undefined ? {} : { additionalProperties: closed }),
    };
  }

  /** What a part of `allOf` says of an object. */
  #objectPart(part: unknown, path: string): JsonSchema {
    const { allOf, $defs: _, definitions: __, ...own } = this.followed(part, path);
    const inner = allOf === undefined ? own : this.merged([own, ...(Array.isArray(allOf) ? allOf : [])], path);
    return Object.fromEntries(
      Object.entries(inner).filter(
        ([key, value]) => !annotations.has(key) && !(key === "type" && value === "object") && !(allOf !== undefined && isEmpty(value)),
      ),
    );
  }

  /** `choice` for values of these types alone; nothing where it has none. */
  narrowed(choice: unknown, types: readonly unknown[], path: string): unknown[] {
    if (choice === true) return [{ type: types }];
    const { $defs: _, definitions: __, ...found } = this.followed(choice, path);
    if (found.type === undefined) return [{ ...found, type: types }];
    const own = typesOf(found.type);
    const both = [
      ...own.filter((one) => types.includes(one) || (one === "integer" && types.includes("number"))),
      ...(own.includes("number") && !types.includes("number") && types.includes("integer") ? ["integer"] : []),
    ];
    if (both.length === 0) return [];
    return [both.length === own.length && both.every((one) => own.includes(one)) ? choice : { ...found, type: both }];
  }

  /** Whether it is plain that no value fits both. `depth`: of the properties by which objects may be told apart. */
  areApart(one: unknown, other: unknown, path: string, depth = 2): boolean {
    if (one === true || other === true) return false;
    const [a, b] = [this.followed(one, path), this.followed(other, path)];
    const [valuesA, valuesB] = [constantsOf(a), constantsOf(b)];
    this.#compare(1 + (valuesA?.length ?? 0) + (valuesB?.length ?? 0));
    if (valuesA !== undefined && valuesB !== undefined) return new Set(valuesA).isDisjointFrom(new Set(valuesB));
    const [typesA, typesB] = [choiceTypesOf(a), choiceTypesOf(b)];
    if (typesA !== undefined && typesB !== undefined && !typesA.some((type) => typesB.includes(type))) return true;
    if (depth === 0) return false;
    const [ofA, ofB] = [neededOf(a), neededOf(b)];
    this.#compare(countOf(a.properties) + countOf(b.properties));
    return Object.keys(ofA).some((key) => Object.hasOwn(ofB, key) && this.areApart(ofA[key], ofB[key], path, depth - 1));
  }

  #compare(steps: number): void {
    this.#compared += steps;
    if (this.#compared > comparedMax)
      throw new Unusable("The choices of the schema take too long to tell apart. Take `anyOf`, or fewer of them.");
  }
}

/** Refused also where what can't be honoured may be any value. */
export class Unusable extends EngineFault {
  constructor(message: string) {
    super("schema_unsupported", message);
  }
}

export function typesOf(type: unknown): readonly unknown[] {
  return Array.isArray(type) ? type : [type];
}

/** JSON texts of the few values that a schema allows, where they are plain ones. */
export function constantsOf({ const: only, enum: several }: JsonSchema): readonly string[] | undefined {
  const values = only === undefined ? several : [only];
  if (!Array.isArray(values) || values.some((value) => typeof value === "object" && value !== null)) return undefined;
  return values.map((value) => JSON.stringify(value));
}

/** Types that the values of a schema have, integers being numbers; undefined where it is not plain. */
function choiceTypesOf(schema: JsonSchema): readonly unknown[] | undefined {
  const constants = schema.const === undefined ? schema.enum : [schema.const];
  if (Array.isArray(constants)) return constants.map((value) => (value === null ? "null" : Array.isArray(value) ? "array" : typeof value));
  return schema.type === undefined ? undefined : typesOf(schema.type).map((type) => (type === "integer" ? "number" : type));
}

/** Schemas of the properties that an object must have. */
export function neededOf({ properties, required }: JsonSchema): JsonSchema {
  if (!isSchema(properties) || !Array.isArray(required)) return {};
  const needed = new Set(required);
  return Object.fromEntries(Object.entries(properties).filter(([key, one]) => needed.has(key) && isSchema(one)));
}

function countOf(properties: unknown): number {
  return isSchema(properties) ? Object.keys(properties).length : 0;
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

function decoded(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    throw unsupported(`\`$ref\` holds what is no address: ${step}.`);
  }
}

export function isSchema(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Of a schema that says none. */
export function impliedType(said: JsonSchema): string | undefined {
  if ("properties" in said || "required" in said || "additionalProperties" in said) return "object";
  if ("items" in said || "prefixItems" in said) return "array";
  return "pattern" in said ? "string" : undefined;
}
