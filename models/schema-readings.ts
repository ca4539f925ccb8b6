import { EngineFault, type JsonSchema } from "./engine.ts";
import { type Patterns, patternGrammar } from "./pattern-grammar.ts";
import { constantsOf, impliedType, isSchema, neededOf, SchemaDocument, typesOf, Unusable } from "./schema-document.ts";

/** llama.cpp keeps each and holds it against each other, at every character: a few thousand take it seconds, and other answers wait. */
const readingsMax = 1_000;

/** How values begin, by which those of two types are told apart. */
const beginnings: Readonly<Record<string, string>> = {
  object: "{",
  array: "[",
  string: '"',
  integer: "0",
  number: "0",
  boolean: "t",
  null: "n",
};

/** In how many ways a text may be read at some point, before it is clear which choices of the schema it makes; by how the text begins. */
type Readings = ReadonlyMap<string, number>;

const anyReadings: Readings = new Map(Object.values(beginnings).map((beginning) => [beginning, 1]));

/** A schema that refers to itself comes to more in each round, or stands still soon. */
const roundsMax = 20;

/** Throws `Unusable` where a text that fits the schema may be read in more ways at once than the engine can follow. `patterns`: what its own are known to come to. */
export function checkReadings(schema: JsonSchema, patterns: Patterns): void {
  let known: ReadonlyMap<unknown, Readings> = new Map();
  for (let rounds = 0, before = -1, now = 0; now !== before; rounds += 1) {
    if (rounds === roundsMax) throw tooMany("#");
    before = now;
    const round = new Round(schema, known, patterns);
    round.of(round.document.whole, "#");
    known = round.known;
    now = [...known.values()].reduce((sum, readings) => sum + mostOf(readings), 0);
  }
}

class Round {
  readonly document: SchemaDocument;
  /** Of parts and references, as far as this round has come to them. */
  readonly known = new Map<unknown, Readings>();
  readonly #before: ReadonlyMap<unknown, Readings>;
  readonly #patterns: Patterns;
  /** Parts that are being looked at and begin where the text does that is read. */
  #begun = new Set<unknown>();

  constructor(schema: JsonSchema, before: ReadonlyMap<unknown, Readings>, patterns: Patterns) {
    this.document = new SchemaDocument(schema);
    this.#before = before;
    this.#patterns = patterns;
  }

  of(schema: unknown, path: string): Readings {
    if (!isSchema(schema)) return anyReadings;
    const key = schema.$ref ?? schema;
    if (this.#begun.has(key)) throw new Unusable(`The schema refers to itself at ${path} without end. Simplify it.`);
    const known = this.known.get(key);
    if (known !== undefined) return known;
    this.known.set(key, this.#before.get(key) ?? new Map());
    this.#begun.add(key);
    const readings = this.#of(schema, path);
    this.#begun.delete(key);
    if (mostOf(readings) > readingsMax) throw tooMany(path);
    this.known.set(key, readings);
    return readings;
  }

  #of(schema: JsonSchema, path: string): Readings {
    const { $ref } = schema;
    if (typeof $ref === "string")
      return this.of(
        this.#orNothing(() => this.document.at($ref, path)),
        $ref,
      );
    const values = schema.const === undefined ? schema.enum : [schema.const];
    if (Array.isArray(values)) return summed(values.map((value) => new Map([[beginningOf(value), 1]])));
    const choices = schema.anyOf ?? schema.oneOf;
    if (Array.isArray(choices)) return this.#choice(choices, path);
    if (Array.isArray(schema.allOf)) {
      const { allOf, ...beside } = schema;
      return this.of(
        this.#orNothing(() => this.document.merged([beside, ...allOf], path)),
        path,
      );
    }
    const types = typesOf(schema.type ?? impliedType(schema)).map(String);
    const written = types.map((type) => [beginnings[type], this.#ofType(type, schema, path)] as const);
    return new Map(written.every((one): one is readonly [string, number] => one[0] !== undefined) ? written : anyReadings);
  }

  #ofType(type: string, schema: JsonSchema, path: string): number {
    const { properties, additionalProperties, items, prefixItems, pattern } = schema;
    const most = (parts: readonly unknown[]): number => Math.max(1, ...parts.map((part) => this.#mostWithin(part, path)));
    if (type === "array") return most([items, ...(Array.isArray(prefixItems) ? prefixItems : [])]);
    if (type === "string") {
      if (pattern === undefined) return 1;
      const { size = 1, choices = 0 } = this.#orNothing(() => patternGrammar(pattern, path, this.#patterns)) ?? {};
      return choices > 1 ? size : 1;
    }
    if (type !== "object") return 1;
    const named = isSchema(properties) ? Object.values(properties) : [];
    const optional = named.length - Object.keys(neededOf(schema)).length;
    return Math.max(optional, most([additionalProperties, ...named]));
  }

  /** Of a part of an object or list, before which something stands. */
  #mostWithin(part: unknown, path: string): number {
    const begun = this.#begun;
    this.#begun = new Set();
    const most = mostOf(this.of(part, path));
    this.#begun = begun;
    return most;
  }

  /** Values that begin alike are read in the ways of all; objects only up to the property that tells which one it is. */
  #choice(choices: readonly unknown[], path: string): Readings {
    const readings = choices.map((one) => this.of(one, path));
    const objects = choices.map((one) => this.#orNothing(() => this.document.followed(one, path)) ?? {});
    const lead = leadOf(objects.filter((_, index) => readings[index]?.has("{")));
    if (lead === undefined) return summed(readings);
    const all = new Map(summed(readings));
    const until = lead.map((properties) => Math.max(properties.length + 1, ...properties.map((one) => this.#mostWithin(one, path))));
    const whole = readings.map((one) => one.get("{") ?? 0);
    return all.set(
      "{",
      Math.max(
        until.reduce((sum, one) => sum + one, 0),
        ...whole,
      ),
    );
  }

  /** Of what can't be honoured there is no grammar: any value may stand there, or it is refused for that. */
  #orNothing<Made>(make: () => Made): Made | undefined {
    try {
      return make();
    } catch (error) {
      if (error instanceof Unusable || !(error instanceof EngineFault)) throw error;
      return undefined;
    }
  }
}

/** Of objects that one property tells apart: what is read of each before it. Undefined where none does. */
function leadOf(objects: readonly JsonSchema[]): (readonly unknown[])[] | undefined {
  if (objects.length < 2) return undefined;
  const entries = objects.map(({ properties }) => (isSchema(properties) ? Object.entries(properties) : []));
  const firsts = entries.map(([first], index) =>
    first !== undefined && Object.hasOwn(neededOf(objects[index] ?? {}), first[0]) ? first[0] : undefined,
  );
  if (!firsts.includes(undefined) && new Set(firsts).size === firsts.length) return entries.map(() => []);
  const told = entries.map((all, index) => {
    const needed = neededOf(objects[index] ?? {});
    const at = all.findIndex(([key, one]) => Object.hasOwn(needed, key) && isSchema(one) && constantsOf(one) !== undefined);
    const [key, one] = all[at] ?? [];
    return {
      key,
      constants: isSchema(one) ? (constantsOf(one) ?? []) : [],
      lead: all.slice(0, Math.max(0, at)).map(([, before]) => before),
    };
  });
  const constants = told.flatMap((one) => [...one.constants]);
  const isOne = told.every(({ key }) => key !== undefined && key === told[0]?.key) && new Set(constants).size === constants.length;
  return isOne ? told.map(({ lead }) => lead) : undefined;
}

function tooMany(path: string): Unusable {
  return new Unusable(
    `A text that fits the schema may be read in more than ${readingsMax} ways at ${path} before it is clear which of its choices it makes. ` +
      "Let the objects of a choice begin with a required property whose constants differ, and take shorter lists and patterns.",
  );
}

function beginningOf(value: unknown): string {
  return beginnings[value === null ? "null" : Array.isArray(value) ? "array" : typeof value] ?? '"';
}

function summed(several: readonly Readings[]): Readings {
  const sums = new Map<string, number>();
  for (const [beginning, ways] of several.flatMap((one) => [...one])) sums.set(beginning, (sums.get(beginning) ?? 0) + ways);
  return sums;
}

function mostOf(readings: Readings): number {
  return Math.max(0, ...readings.values());
}
