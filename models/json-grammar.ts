import { EngineFault, type JsonSchema, type Tool } from "./engine.ts";
import { count, either, unsupported } from "./grammar.ts";
import { numberGrammar } from "./number-grammar.ts";
import type { Patterns } from "./pattern-grammar.ts";
import { annotations, impliedType, isSchema, SchemaDocument, typesOf, Unusable } from "./schema-document.ts";
import { checkReadings } from "./schema-readings.ts";
import { stringGrammar } from "./string-grammar.ts";

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

/** llama.cpp writes repetitions out in full: the most of a whole schema. */
const repeatedMax = 100_000;

/** llama.cpp takes half a second to read so long a grammar, and answers wait. */
const charsMax = 1_000_000;

/** Each is held against each other. */
const choicesMax = 100;

/**
 * A grammar (GBNF) whose texts are JSON values that fit `schema`. Properties come in the order of the schema, those that it does not name do not come. `strict`: a
 * keyword that can't be honoured throws `EngineFault`; otherwise what it is about may be any value.
 */
export function grammarOf(schema: JsonSchema, { strict }: { strict: boolean }): string {
  const document = new SchemaDocument(schema);
  const made = new Grammar(document, strict);
  const root = made.valueOf(document.whole, "#");
  checkReadings(schema, made.patterns);
  return made.text(root);
}

/** A grammar for a call of one of the tools: white space, and an object with name and arguments. */
export function callGrammarOf(tools: readonly Tool[]): string {
  const all = new Grammar(new SchemaDocument({}), false);
  const calls = tools.map(({ name, parameters, strict }, index) => {
    const one = new Grammar(new SchemaDocument(parameters), strict, `tool${index}`);
    const fits = one.argumentsOf(name);
    checkReadings(parameters, one.patterns);
    Object.assign(all.own, one.own);
    return `"{\\"name\\":" space ${literal(name)} "," space "\\"arguments\\":" space ${fits} "}"`;
  });
  return all.text(`"\\n"? ${either(calls)}`);
}

class Grammar {
  readonly own: Record<string, string> = {};
  readonly patterns: Patterns = new Map();
  readonly #prefix: string;
  readonly #schema: SchemaDocument;
  readonly #strict: boolean;
  readonly #byPath = new Map<string, string>();

  /** `prefix`: of the names of its rules. */
  constructor(schema: SchemaDocument, strict: boolean, prefix = "") {
    this.#schema = schema;
    this.#strict = strict;
    this.#prefix = prefix;
  }

  text(root: string): string {
    const text = [`root ::= ${root}`, ...Object.entries({ ...rules, ...this.own }).map(([name, body]) => `${name} ::= ${body}`)].join("\n");
    const repeated = [...text.replaceAll(/"(?:[^"\\]|\\.)*"/gu, "").matchAll(/\{(\d+)(?:,(\d*))?\}/gu)].reduce(
      (sum, [, low, high]) => sum + Number(high || low),
      0,
    );
    if (repeated > repeatedMax)
      throw new Unusable(`The lengths and counts of this schema come to ${repeated} together; up to ${repeatedMax} can be honoured.`);
    if (text.length > charsMax)
      throw new Unusable(`The schema comes to a grammar of ${text.length} characters; up to ${charsMax} can be honoured. Simplify it.`);
    return text;
  }

  /** An expression for the objects that fit the whole schema, of what a function called `name` is called with. */
  argumentsOf(name: string): string {
    return this.#orAny("object", () => {
      const root = this.#schema.followed(this.#schema.whole, name);
      if (root.type !== undefined && !typesOf(root.type).includes("object"))
        throw new Unusable(`The arguments of ${name} must be an object, and its schema says otherwise.`);
      return this.valueOf({ ...root, type: "object" }, name);
    });
  }

  /** An expression for the values that fit the schema at `path`. */
  valueOf(schema: unknown, path: string): string {
    if (schema === true) return "value";
    if (!isSchema(schema)) throw unsupported(`The schema is not one: ${path} is no object.`);
    const isObject = typesOf(schema.type).every((type) => type === "object");
    return this.#orAny(isObject ? "object" : "value", () => this.#schema.counted(() => this.#valueOf(schema, path)));
  }

  /** `any`: the rule that stands for a schema that can't be honoured. */
  #orAny(any: "value" | "object", make: () => string): string {
    try {
      return make();
    } catch (error) {
      if (this.#strict || error instanceof Unusable || !(error instanceof EngineFault)) throw error;
      return any;
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
      return this.#literals([said.const], said.type, path);
    }
    if (said.enum !== undefined) {
      only("enum", "type");
      if (!Array.isArray(said.enum) || said.enum.length === 0) throw unsupported(`\`enum\` at ${path} lists no values.`);
      return this.#literals(said.enum, said.type, path);
    }
    const choices = said.anyOf ?? said.oneOf;
    if (choices !== undefined) {
      only(said.anyOf === undefined ? "oneOf" : "anyOf", "type");
      if (!Array.isArray(choices) || choices.length === 0) throw unsupported(`A choice at ${path} is between nothing.`);
      if (said.oneOf !== undefined && choices.length > choicesMax)
        throw unsupported(`\`oneOf\` at ${path} can be honoured for up to ${choicesMax} choices. Take \`anyOf\`.`);
      if (
        said.oneOf !== undefined &&
        choices.some((one, index) => choices.slice(0, index).some((other) => !this.#schema.areApart(one, other, path)))
      )
        throw unsupported(`\`oneOf\` at ${path} can be honoured for choices of different types or constants only. Take \`anyOf\`.`);
      const narrowed = said.type === undefined ? choices : choices.flatMap((one) => this.#schema.narrowed(one, typesOf(said.type), path));
      if (narrowed.length === 0) throw unsupported(`${path} allows no value.`);
      return either(narrowed.map((one, index) => this.valueOf(one, `${path}/${index}`)));
    }
    if (said.allOf !== undefined) {
      const { allOf, ...beside } = said;
      return this.#valueOf(this.#schema.merged([beside, ...(Array.isArray(allOf) ? allOf : [])], path), path);
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
      only("type", "minLength", "maxLength", "format", "pattern");
      return stringGrammar(said, path, this.patterns);
    }
    if (type === "integer" || type === "number") {
      only("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum");
      return numberGrammar(type, said, path);
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
    const unnamed = [...wanted].filter((key) => !Object.hasOwn(properties, key));
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
    if (rest === undefined && least > given.length) throw unsupported(`${path} asks for more items than it allows.`);
    if (rest === undefined || most === given.length) return `"[" ${given.join(' "," space ') || '""'} "]"`;
    const [from, until] = [least - given.length, most - given.length];
    const more = (low: number, high: number): string => `("," space ${rest}){${low},${high === Number.POSITIVE_INFINITY ? "" : high}}`;
    if (given.length > 0) return `"[" ${given.join(' "," space ')} ${more(Math.max(0, from), until)} "]"`;
    const some = `${rest} ${more(Math.max(0, from - 1), until - 1)}`;
    return from > 0 ? `"[" ${some} "]"` : `"[" (${some})? "]"`;
  }

  #referenced(reference: unknown, path: string): string {
    if (typeof reference !== "string") throw unsupported(`\`$ref\` at ${path} is no text.`);
    const known = this.#byPath.get(reference);
    if (known !== undefined) return known;
    const name = `${this.#prefix}ref${this.#byPath.size}`;
    this.#byPath.set(reference, name);
    this.own[name] = this.valueOf(this.#schema.at(reference, path), reference);
    return name;
  }

  #literals(values: readonly unknown[], type: unknown, path: string): string {
    const fitting = type === undefined ? values : values.filter((value) => typesOf(type).some((one) => isOfType(value, one)));
    if (fitting.length === 0) throw unsupported(`${path} allows no value.`);
    return either(fitting.map(literal));
  }

  #rule(body: string): string {
    const name = `${this.#prefix}rule${Object.keys(this.own).length}`;
    this.own[name] = body;
    return name;
  }
}

function isOfType(value: unknown, type: unknown): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  return type === "object" ? isSchema(value) : typeof value === type;
}

/** Keywords of one type, where a schema allows several. */
function keywordsOf(type: unknown, said: JsonSchema): JsonSchema {
  const of: Readonly<Record<string, readonly string[]>> = {
    object: ["properties", "required", "additionalProperties"],
    array: ["items", "prefixItems", "minItems", "maxItems"],
    string: ["minLength", "maxLength", "format", "pattern"],
    number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
    integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  };
  const all = new Set(Object.values(of).flat());
  return Object.fromEntries(
    Object.entries(said).filter(([key]) => key !== "type" && (!all.has(key) || (typeof type === "string" && of[type]?.includes(key)))),
  );
}

function literal(value: unknown): string {
  return JSON.stringify(JSON.stringify(value)).replaceAll("\u007f", "\\x7F");
}
