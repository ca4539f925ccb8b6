import { EngineFault, type JsonSchema, type Tool } from "./engine.ts";

/** Larger ones take llama.cpp long to read. */
const nodesMax = 2_000;
/** llama.cpp writes a repetition out in full. */
const repeatsMax = 2_000;

/** Keywords that say nothing about which values fit. */
const annotations = new Set(
  "$schema $id $comment $anchor title description default examples deprecated readOnly writeOnly strict contentMediaType contentEncoding".split(
    " ",
  ),
);

const rules = {
  value: "object | array | string | number | boolean | null",
  object: '"{" (pair ("," space pair)*)? "}"',
  pair: 'string ":" space value',
  array: '"[" (value ("," space value)*)? "]"',
  string: '"\\"" char* "\\""',
  char: String.raw`[^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt/] | "u" hex hex hex hex)`,
  hex: "[0-9a-fA-F]",
  number: 'integer ("." digit{1,16})? ([eE] [-+]? digit{1,3})?',
  integer: '"-"? whole',
  whole: '"0" | [1-9] digit{0,15}',
  digit: "[0-9]",
  boolean: '"true" | "false"',
  null: '"null"',
  space: '" "?',
  date: '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | "1" [0-9] | "2" [0-8])',
  clock: '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,3})?',
  zone: '"Z" | [-+] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9]',
  uuid: 'hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12}',
  ipv4: 'octet "." octet "." octet "." octet',
  octet: '"25" [0-5] | "2" [0-4] [0-9] | "1" [0-9] [0-9] | [1-9]? [0-9]',
  email: '[a-zA-Z0-9] [a-zA-Z0-9._-]{0,30} "@" [a-z0-9]{1,30} ("." [a-z]{2,12}){1,2}',
} as const;

const formats: Readonly<Record<string, string>> = {
  date: "date",
  time: "clock zone",
  "date-time": 'date "T" clock zone',
  uuid: "uuid",
  ipv4: "ipv4",
  email: "email",
};

/**
 * A grammar (GBNF) whose texts are JSON values that fit `schema`. Properties come in the order of the schema, those that it does not name do not come. `strict`: a
 * keyword that can't be honoured throws `EngineFault`; otherwise what it is about may be any value.
 */
export function grammarOf(schema: JsonSchema, { strict }: { strict: boolean }): string {
  const made = new Grammar(schema, strict);
  return made.text(made.valueOf(schema, "#"));
}

/** A grammar for a call of one of the tools: white space, and an object with name and arguments. */
export function callGrammarOf(tools: readonly Tool[]): string {
  const all = new Grammar({}, false);
  const calls = tools.map(({ name, parameters, strict }, index) => {
    const one = new Grammar({ type: "object", ...parameters }, strict, `tool${index}`);
    const fits = one.valueOf({ type: "object", ...parameters }, name);
    Object.assign(all.own, one.own);
    return `"{\\"name\\":" space ${literal(name)} "," space "\\"arguments\\":" space ${fits} "}"`;
  });
  return all.text(`"\\n"? ${either(calls)}`);
}

class Grammar {
  readonly own: Record<string, string> = {};
  readonly #prefix: string;
  readonly #document: JsonSchema;
  readonly #strict: boolean;
  readonly #byPath = new Map<string, string>();
  #nodes = 0;

  /** `prefix`: of the names of its rules. */
  constructor(document: JsonSchema, strict: boolean, prefix = "") {
    this.#document = document;
    this.#strict = strict;
    this.#prefix = prefix;
  }

  text(root: string): string {
    return [`root ::= ${root}`, ...Object.entries({ ...rules, ...this.own }).map(([name, body]) => `${name} ::= ${body}`)].join("\n");
  }

  /** An expression for the values that fit the schema at `path`. */
  valueOf(schema: unknown, path: string): string {
    this.#nodes += 1;
    if (this.#nodes > nodesMax) throw unsupported(`The schema has more than ${nodesMax} parts. Simplify it.`);
    if (schema === true) return "value";
    if (!isSchema(schema)) throw unsupported(`The schema is not one: ${path} is no object.`);
    try {
      return this.#valueOf(schema, path);
    } catch (error) {
      if (this.#strict || !(error instanceof EngineFault)) throw error;
      return "value";
    }
  }

  #valueOf(schema: JsonSchema, path: string): string {
    const { $defs: _, definitions: __, ...rest } = schema;
    const said = Object.fromEntries(Object.entries(rest).filter(([key]) => !annotations.has(key)));
    const only = (...keys: string[]): void => {
      const other = Object.keys(said).find((key) => !keys.includes(key));
      if (other !== undefined) throw unsupported(`The schema's keyword \`${other}\` can't be honoured at ${path}. Leave it out.`);
    };
    if (said.$ref !== undefined) {
      only("$ref");
      return this.#referenced(said.$ref, path);
    }
    if (said.const !== undefined) {
      only("const", "type");
      return literal(said.const);
    }
    if (said.enum !== undefined) {
      only("enum", "type");
      if (!Array.isArray(said.enum) || said.enum.length === 0) throw unsupported(`\`enum\` at ${path} lists no values.`);
      return either(said.enum.map(literal));
    }
    const choices = said.anyOf ?? said.oneOf;
    if (choices !== undefined) {
      only(said.anyOf === undefined ? "oneOf" : "anyOf", "type");
      if (!Array.isArray(choices) || choices.length === 0) throw unsupported(`A choice at ${path} is between nothing.`);
      return either(choices.map((one, index) => this.valueOf(one, `${path}/${index}`)));
    }
    if (said.allOf !== undefined) {
      const { allOf, ...beside } = said;
      return this.#valueOf(this.#merged([beside, ...(Array.isArray(allOf) ? allOf : [])], path), path);
    }
    const types = Array.isArray(said.type) ? said.type : [said.type ?? impliedType(said)];
    if (types.length > 1) {
      return either(types.map((type) => this.#valueOf({ ...keywordsOf(type, said), type }, path)));
    }
    const [type] = types;
    if (type === undefined || type === null) {
      only();
      return "value";
    }
    if (type === "object") {
      only("type", "properties", "required", "additionalProperties");
      return this.#rule(this.#object(said, path));
    }
    if (type === "array") {
      only("type", "items", "prefixItems", "minItems", "maxItems");
      return this.#rule(this.#array(said, path));
    }
    if (type === "string") {
      only("type", "minLength", "maxLength", "format");
      return string(said, path);
    }
    if (type === "integer" || type === "number") {
      only("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum");
      return numeric(type, said, path);
    }
    only("type");
    if (type === "boolean" || type === "null") return type;
    throw unsupported(`There is no JSON type ${JSON.stringify(type)}, as ${path} says.`);
  }

  #object({ properties = {}, required = [], additionalProperties }: JsonSchema, path: string): string {
    if (!isSchema(properties) || !Array.isArray(required))
      throw unsupported(`\`properties\` or \`required\` at ${path} are not what they must be.`);
    const free =
      additionalProperties === undefined || additionalProperties === true
        ? "value"
        : additionalProperties === false
          ? undefined
          : this.valueOf(additionalProperties, `${path}/additionalProperties`);
    const wanted = new Set(required.map(String));
    const unnamed = [...wanted].filter((key) => !(key in properties));
    if (unnamed.length > 0 && free === undefined) throw unsupported(`${path} requires \`${unnamed[0]}\`, which it does not allow.`);
    const pairs = [
      ...Object.entries(properties).map(([key, one]) => ({ key, is: this.valueOf(one, `${path}/properties/${key}`) })),
      ...unnamed.map((key) => ({ key, is: free ?? "value" })),
    ].map(({ key, is }) => ({ text: `${literal(key)} ":" space ${is}`, needed: wanted.has(key) }));
    if (pairs.length === 0) {
      return free === undefined ? '"{" "}"' : `"{" (string ":" space ${free} ("," space string ":" space ${free})*)? "}"`;
    }
    // What may follow once a pair has been written, from the end.
    let after = '""';
    const tails: string[] = [];
    for (const { text, needed } of pairs.toReversed()) {
      tails.unshift(after);
      after = this.#rule(needed ? `"," space ${text} ${after}` : `("," space ${text})? ${after}`);
    }
    const starts: string[] = [];
    for (const [index, { text, needed }] of pairs.entries()) {
      starts.push(`${text} ${tails[index]}`);
      if (needed) break;
    }
    if (!pairs.some(({ needed }) => needed)) starts.push('""');
    return `"{" (${starts.join(" | ")}) "}"`;
  }

  #array({ items = true, prefixItems = [], minItems = 0, maxItems }: JsonSchema, path: string): string {
    const first = Array.isArray(prefixItems) ? prefixItems.map((one, index) => this.valueOf(one, `${path}/prefixItems/${index}`)) : [];
    const most = maxItems === undefined ? Number.POSITIVE_INFINITY : count(maxItems, "maxItems", path);
    const least = Math.max(count(minItems, "minItems", path), Math.min(first.length, most));
    if (most < least) throw unsupported(`${path} allows fewer items than it asks for.`);
    const given = first.slice(0, most === Number.POSITIVE_INFINITY ? first.length : most);
    const rest = items === false ? undefined : this.valueOf(items, `${path}/items`);
    if (rest === undefined || most === given.length) return `"[" ${given.join(' "," space ') || '""'} "]"`;
    const [from, until] = [least - given.length, most - given.length];
    const more = (low: number, high: number): string => `("," space ${rest}){${low},${high === Number.POSITIVE_INFINITY ? "" : high}}`;
    if (given.length > 0) return `"[" ${given.join(' "," space ')} ${more(Math.max(0, from), until)} "]"`;
    const some = `${rest} ${more(Math.max(0, from - 1), until - 1)}`;
    return from > 0 ? `"[" ${some} "]"` : `"[" (${some})? "]"`;
  }

  #referenced(reference: unknown, path: string): string {
    if (typeof reference !== "string" || !reference.startsWith("#")) throw unsupported(`\`$ref\` at ${path} leads out of the schema.`);
    const known = this.#byPath.get(reference);
    if (known !== undefined) return known;
    const name = `${this.#prefix}ref${this.#byPath.size}`;
    this.#byPath.set(reference, name);
    this.own[name] = this.valueOf(this.#at(reference, path), reference);
    return name;
  }

  #at(reference: string, path: string): unknown {
    let found: unknown = this.#document;
    for (const step of reference.slice(1).split("/").slice(1)) {
      const key = decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~");
      found = typeof found === "object" && found !== null ? Object.entries(found).find(([name]) => name === key)?.[1] : undefined;
    }
    if (found === undefined) throw unsupported(`\`$ref\` at ${path} names nothing: ${reference}.`);
    return found;
  }

  /** One schema for objects that fit all of `parts`. */
  #merged(parts: readonly unknown[], path: string): JsonSchema {
    const whole: Record<string, unknown> = { type: "object" };
    const properties: Record<string, unknown> = {};
    const required: unknown[] = [];
    for (const part of parts) {
      let one = part;
      for (let steps = 0; isSchema(one) && typeof one.$ref === "string" && steps < 20; steps += 1) one = this.#at(one.$ref, path);
      if (!isSchema(one)) throw unsupported(`\`allOf\` at ${path} lists what is no schema.`);
      const inner: JsonSchema =
        one.allOf === undefined ? one : this.#merged([{ ...one, allOf: undefined }, ...(Array.isArray(one.allOf) ? one.allOf : [])], path);
      for (const [key, value] of Object.entries(inner)) {
        if (value === undefined || annotations.has(key) || (key === "type" && value === "object")) continue;
        if (key === "properties" && isSchema(value)) Object.assign(properties, value);
        else if (key === "required" && Array.isArray(value)) required.push(...value);
        else if (key === "additionalProperties") whole[key] = value;
        else throw unsupported(`The schema's keyword \`allOf\` can't be honoured at ${path} beside \`${key}\`.`);
      }
    }
    return { ...whole, properties, required };
  }

  #rule(body: string): string {
    const name = `${this.#prefix}rule${Object.keys(this.own).length}`;
    this.own[name] = body;
    return name;
  }
}

/** Keywords of one type, where a schema allows several. */
function keywordsOf(type: unknown, said: JsonSchema): JsonSchema {
  const of: Readonly<Record<string, readonly string[]>> = {
    object: ["properties", "required", "additionalProperties"],
    array: ["items", "prefixItems", "minItems", "maxItems"],
    string: ["minLength", "maxLength", "format"],
    number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
    integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  };
  const all = new Set(Object.values(of).flat());
  return Object.fromEntries(
    Object.entries(said).filter(([key]) => key !== "type" && (!all.has(key) || (typeof type === "string" && of[type]?.includes(key)))),
  );
}

function impliedType(said: JsonSchema): string | undefined {
  if ("properties" in said || "required" in said || "additionalProperties" in said) return "object";
  return "items" in said || "prefixItems" in said ? "array" : undefined;
}

function string({ minLength = 0, maxLength, format }: JsonSchema, path: string): string {
  if (format !== undefined) {
    const written = typeof format === "string" ? formats[format] : undefined;
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

function numeric(type: "integer" | "number", { minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonSchema, path: string): string {
  const bound = (value: unknown, name: string): bigint | undefined => {
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !Number.isSafeInteger(value))
      throw unsupported(`\`${name}\` at ${path} can be honoured for whole numbers only.`);
    return BigInt(value);
  };
  if (type === "number" && (exclusiveMinimum !== undefined || exclusiveMaximum !== undefined)) {
    throw unsupported(
      `The schema's keyword \`exclusiveMinimum\` or \`exclusiveMaximum\` can't be honoured at ${path} for type \`number\`.`,
    );
  }
  const above = bound(exclusiveMinimum, "exclusiveMinimum");
  const below = bound(exclusiveMaximum, "exclusiveMaximum");
  const low = bound(minimum, "minimum") ?? (above === undefined ? undefined : above + 1n);
  const high = bound(maximum, "maximum") ?? (below === undefined ? undefined : below - 1n);
  if (low === undefined && high === undefined) return type;
  if (low !== undefined && high !== undefined && low > high) throw unsupported(`${path} allows no number.`);
  const fraction = type === "number" ? ' ("." digit{1,16})?' : "";
  const parts: string[] = [];
  // Below zero the digits count the other way round.
  if (low === undefined || low < 0n)
    parts.push(`"-" ${magnitudes(high !== undefined && high < 0n ? -high : 1n, low === undefined ? undefined : -low, fraction)}`);
  if (high === undefined || high >= 0n) parts.push(magnitudes(low !== undefined && low > 0n ? low : 0n, high, fraction));
  return either(parts);
}

/** Numbers from `low` to `high`, both not below zero; a fraction may follow what is below `high`. */
function magnitudes(low: bigint, high: bigint | undefined, fraction: string): string {
  if (high === undefined) {
    const digits = String(low);
    const longer = `[1-9] digit{${digits.length},15}`;
    return either([`(${between(digits, "9".repeat(digits.length))})${fraction}`, `${longer}${fraction}`]);
  }
  if (fraction === "") return either(byLength(low, high));
  return either([...(high > low ? byLength(low, high - 1n).map((one) => `(${one})${fraction}`) : []), `"${high}"`]);
}

/** One expression for each number of digits. */
function byLength(low: bigint, high: bigint): string[] {
  const [from, until] = [String(low), String(high)];
  return Array.from({ length: until.length - from.length + 1 }, (_, index) => {
    const length = from.length + index;
    return between(length === from.length ? from : `1${"0".repeat(length - 1)}`, length === until.length ? until : "9".repeat(length));
  });
}

/** Digits from `low` to `high`, which have the same length. */
function between(low: string, high: string): string {
  const [a = "", b = ""] = [low[0], high[0]];
  const rest = low.length - 1;
  if (rest === 0) return a === b ? `"${a}"` : `[${a}-${b}]`;
  if (low === high) return `"${low}"`;
  if (a === b) return `"${a}" (${between(low.slice(1), high.slice(1))})`;
  const parts = [`"${a}" (${between(low.slice(1), "9".repeat(rest))})`];
  if (Number(b) - Number(a) > 1) parts.push(`[${Number(a) + 1}-${Number(b) - 1}] digit{${rest}}`);
  parts.push(`"${b}" (${between("0".repeat(rest), high.slice(1))})`);
  return parts.join(" | ");
}

function count(value: unknown, name: string, path: string): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0) throw unsupported(`\`${name}\` at ${path} is no count.`);
  if (value > repeatsMax) throw unsupported(`\`${name}\` at ${path} can be honoured up to ${repeatsMax}.`);
  return value;
}

function literal(value: unknown): string {
  return JSON.stringify(JSON.stringify(value)).replaceAll("\u007f", "\\x7F");
}

function either(parts: readonly string[]): string {
  return parts.length === 1 ? (parts[0] ?? "") : `(${parts.join(" | ")})`;
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unsupported(message: string): EngineFault {
  return new EngineFault("schema_unsupported", message);
}
