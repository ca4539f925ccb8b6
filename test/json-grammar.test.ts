import { expect } from "chai";
import fc from "fast-check";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { EngineFault, type JsonSchema } from "../models/engine.ts";
import { callGrammarOf, grammarOf } from "../models/json-grammar.ts";
import { misfitOf } from "../server/json-schema.ts";
import { regExpOf } from "./support/gbnf.ts";

const refusal = (make: () => unknown): string => {
  try {
    make();
  } catch (error) {
    expect(error).to.be.instanceOf(EngineFault);
    return error instanceof EngineFault ? error.message : "";
  }
  return "";
};
const refusedAs = (schema: JsonSchema): string => refusal(() => grammarOf(schema, { strict: true }));

describe("the grammar of a schema", function () {
  this.timeout(60_000);

  it("is refused by name where it would take the engine too long to read, and at once", () => {
    const begunMs = performance.now();
    const properties = Object.fromEntries(Array.from({ length: 400 }, (_, at) => [`p${at}`, { type: "string", maxLength: 2_000 }]));
    expect(refusedAs({ type: "object", properties })).to.match(/come to \d+ together; up to 100000 can be honoured/u);
    const tools = Array.from({ length: 30 }, (_, at) => ({
      name: `t${at}`,
      description: "",
      parameters: { type: "object", properties },
      strict: false,
    }));
    expect(refusal(() => callGrammarOf(tools))).to.match(/up to 100000 can be honoured/u);
    expect(refusedAs({ type: "object", properties: { "x{200000}": { const: "{200000}" } } })).to.equal("");
    const oneOf = Array.from({ length: 101 }, (_, at) => ({ const: at }));
    expect(refusedAs({ oneOf })).to.match(/`oneOf` at # can be honoured for up to 100 choices\. Take `anyOf`/u);
    expect(refusedAs({ oneOf: oneOf.slice(1) })).to.equal("");
    expect(performance.now() - begunMs).to.be.below(2_000);
  });

  it("lets just the whole numbers between two bounds", () => {
    const bound = fc.oneof(fc.integer({ min: -1_200, max: 1_200 }), fc.integer({ min: -(10 ** 15), max: 10 ** 15 }));
    const bounds = fc.tuple(bound, bound).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
    const limits = fc.record({ from: fc.boolean(), until: fc.boolean() });
    fc.assert(
      fc.property(
        bounds,
        limits,
        fc.constantFrom("integer", "number"),
        fc.array(bound, { maxLength: 20 }),
        ([low, high], has, type, more) => {
          const schema = { type, ...(has.from ? { minimum: low } : {}), ...(has.until ? { maximum: high } : {}) };
          const grammar = grammarOf({ type: "array", items: schema, minItems: 2, maxItems: 2 }, { strict: true });
          expect(grammar.length).to.be.lessThan(10_000);
          const fits = regExpOf(grammar);
          const near = [low, high].flatMap((at) => Array.from({ length: 41 }, (_, index) => at + index - 20));
          const lengths = Array.from({ length: 15 }, (_, index) => 10 ** index).flatMap((one) => [one - 1, one, -one, 1 - one]);
          for (const value of [...near, ...more, ...lengths].filter((one) => !Object.is(one, -0))) {
            const isIn = (!has.from || value >= low) && (!has.until || value <= high);
            expect(fits.test(`[${value},${value}]`), `${JSON.stringify(schema)} ${value}`).to.equal(isIn);
            if (type === "number" && fits.test(`[${value}.5,${value}.5]`))
              expect(misfitOf(schema)(Number(`${value}.5`)), `${JSON.stringify(schema)} ${value}.5`).to.equal(undefined);
          }
          for (const part of ["[1", "1]", `[${low}`, `${high}]`, `${low}`]) expect(fits.test(part), part).to.equal(false);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("lets no value that the schema does not", () => {
    const values: readonly unknown[] = [
      1,
      1.5,
      "a",
      "b",
      "toolong",
      null,
      true,
      [],
      [1],
      [null],
      ["a", 1],
      {},
      { a: 1 },
      { a: "x" },
      { kind: "x" },
      { kind: "y" },
      { toString: 1 },
    ];
    const cases: readonly (readonly [JsonSchema, readonly unknown[]])[] = [
      [{ type: "string", enum: ["a", 1] }, ["a"]],
      [{ type: "integer", const: 1 }, [1]],
      [{ type: "string", anyOf: [{ type: "number" }, { type: "string", maxLength: 3 }] }, ["a", "b"]],
      [{ type: "object", anyOf: [{ title: "x" }, { $ref: "#/$defs/s" }], $defs: { s: { type: "string" } } }, [{}, { a: 1 }]],
      [{ type: "array", anyOf: [{ items: { type: "null" } }] }, [[], [null]]],
      [{ oneOf: [{ type: "integer" }, { type: "string" }] }, [1, "a", "b", "toolong"]],
      [{ oneOf: [{ const: "a" }, { enum: ["b", null] }] }, ["a", "b", null]],
      [{ type: "object", properties: { a: { type: "string" } }, required: ["toString"] }, [{ toString: 1 }]],
      [{ type: "object", properties: JSON.parse('{"__proto__":{"type":"number"}}'), additionalProperties: false }, [{}]],
      [{ allOf: [{ properties: JSON.parse('{"__proto__":{"type":"number"}}'), additionalProperties: false }] }, [{}]],
      [{ allOf: [{ properties: { a: { type: "integer" } } }, { required: ["a"] }] }, [{ a: 1 }]],
      [{ type: ["string", "null"], enum: ["a", null, 1] }, ["a", null]],
      [{ type: "array", prefixItems: [{ type: "string" }, { const: 1 }], items: false }, [["a", 1]]],
    ];
    for (const [schema, fitting] of cases) {
      const fits = regExpOf(grammarOf(schema, { strict: true }));
      for (const value of values) {
        if (fits.test(JSON.stringify(value))) expect(misfitOf(schema)(value), JSON.stringify([schema, value])).to.equal(undefined);
      }
      for (const value of fitting) expect(fits.test(JSON.stringify(value)), JSON.stringify([schema, value])).to.equal(true);
    }
    const kinds = ["x", "y"].map((kind) => ({ type: "object", properties: { kind: { const: kind } }, required: ["kind"] }));
    const fits = regExpOf(grammarOf({ oneOf: kinds }, { strict: true }));
    expect(['{"kind":"x"}', '{"kind":"y"}', '{"kind":"z"}', "{}"].map((one) => fits.test(one))).to.deep.equal([true, true, false, false]);
  });

  it("lets just the texts that match a pattern", () => {
    const patterns = [
      "^[A-Z]{3}-\\d{4}$",
      "^(?:red|green|(blue|light blue))$",
      "^[^@\\s]+@[^@\\s]+\\.[a-z]{2,}$",
      "colou?r",
      "^#?(?:[0-9a-f]{3}|[0-9a-f]{6})$|^none$",
      "^\\w+(?:[ -]\\w+)*$",
      '^"quoted" \\\\ \\/ [\\]"]$',
      "^.{0,3}$",
      "^[\\u00e0-\\u00ff\\u{1f600}-\\u{1f64f}]+$",
      "^\\S+\\s\\D\\W[^\\S\\n]$",
      "^[+-]?(?:\\d+\\.\\d*|\\.\\d+)(?:e\\d{1,3})?",
      "a$|^b",
      "^[\\w.\\-]+$",
    ];
    for (const pattern of patterns) {
      const grammar = regExpOf(grammarOf({ type: "string", pattern }, { strict: true }));
      const fits = misfitOf({ type: "string", pattern });
      fc.assert(
        fc.property(
          fc.oneof(fc.stringMatching(new RegExp(pattern, "u")), fc.string({ unit: "binary", maxLength: 8 }), fc.string({ maxLength: 8 })),
          (text) => {
            const [own, matches] = [grammar.test(JSON.stringify(text)), new RegExp(pattern, "u").test(text)];
            // biome-ignore lint/suspicious/noControlCharactersInRegex: an answer has none of these
            const isPlain = !/[\u0000-\u001f\u007f\p{Surrogate}]/u.test(text) && !/[^\S ]/u.test(text);
            if (own || isPlain) expect(own, JSON.stringify([pattern, text])).to.equal(matches);
            if (own) expect(fits(text), JSON.stringify([pattern, text])).to.equal(undefined);
          },
        ),
        { numRuns: 300 },
      );
    }
    // What reads a pattern without `u` alone.
    expect(regExpOf(grammarOf({ type: "string", pattern: "^[\\w-.]+\\_$" }, { strict: true })).test('"a-b._"')).to.equal(true);
    const lengths = { type: "string", pattern: "^[a-z]{2,5}$", minLength: 1, maxLength: 5 };
    expect(regExpOf(grammarOf(lengths, { strict: true })).test('"abc"')).to.equal(true);
  });

  it("lets just the texts that Zod's formats do, as OpenAI's SDK tells of them", () => {
    const date = "2024-02-29";
    for (const [name, format, wrong] of [
      ["email", z.email(), ["a@b", "a b@c.de", "@c.de", ".a@c.de."]],
      ["uuid", z.uuid(), ["123e4567-e89b-92d3-a456-426614174000", "123e4567"]],
      ["date", z.iso.date(), ["2023-02-29", "2024-13-01", "2024-04-31", `${date}T`]],
      ["date-time", z.iso.datetime(), [date, `${date}T24:00:00Z`, `${date}T10:00:00`, `2023-02-29T10:00:00Z`]],
      ["ipv4", z.ipv4(), ["256.1.1.1", "1.1.1", "1.1.1.1.1"]],
      ["starts_with", z.string().startsWith("INV-"), ["inv-1", "xINV-1"]],
    ] as const) {
      const { schema = {} } = zodResponseFormat(z.object({ a: format }), "one").json_schema;
      const { format: said, pattern } = Object(schema.properties).a;
      expect(said).to.equal(name);
      const [grammar, misfit] = [regExpOf(grammarOf(schema, { strict: true })), misfitOf(schema)];
      const fits = (a: string): boolean => grammar.test(JSON.stringify({ a }));
      const own = new RegExp(pattern, "u");
      fc.assert(
        fc.property(fc.oneof(fc.stringMatching(own), fc.constantFrom(...wrong), fc.string({ maxLength: 30 })), (text) => {
          // biome-ignore lint/suspicious/noControlCharactersInRegex: an answer has none of these
          if (/[\u0000-\u001f\u007f\p{Surrogate}]/u.test(text)) return;
          expect(fits(text), JSON.stringify([name, text])).to.equal(format.safeParse(text).success);
          expect(misfit({ a: text }) === undefined, JSON.stringify([name, text])).to.equal(own.test(text));
        }),
        { numRuns: 200 },
      );
      for (const text of wrong) expect(fits(text), text).to.equal(false);
    }
  });

  it("is refused where the schema asks for what no grammar can promise", () => {
    for (const [schema, said] of [
      [{ oneOf: [{ type: "integer" }, { type: "number" }] }, "oneOf"],
      [{ oneOf: [{ const: 1 }, { enum: [1, 2] }] }, "oneOf"],
      [{ oneOf: [{ type: "object" }, { required: ["a"] }] }, "oneOf"],
      [{ type: "string", const: 1 }, "allows no value"],
      [{ type: "string", anyOf: [{ type: "null" }] }, "allows no value"],
      [{ allOf: [{ properties: { a: { type: "string" } } }, { properties: { a: { const: "x" } } }] }, "two parts"],
      [{ allOf: [{ properties: { a: {} }, additionalProperties: false }, { required: ["b"] }] }, "additionalProperties"],
      [{ $ref: "#foo", $defs: { f: { $anchor: "foo" } } }, "#/"],
      [{ $ref: "https://elsewhere" }, "#/"],
      [{ properties: { a: { $ref: "#/$defs/%zz" } } }, "no address"],
      [{ properties: { a: { $id: "https://n/x", type: "string" } } }, "$id"],
      [{ type: "array", prefixItems: [{ type: "null" }], items: false, minItems: 2 }, "more items"],
      [{ type: "integer", minimum: 1e15 }, "minimum"],
      [{ type: "integer", maximum: -1e15 }, "maximum"],
      [{ type: "string", format: "constructor" }, "format"],
      [{ type: "string", pattern: "^(?=.*a).+$" }, "(?=.*a)"],
      [{ type: "string", pattern: "^(a)\\1$" }, "\\1"],
      [{ type: "string", pattern: "a\\b" }, "\\b"],
      [{ type: "string", pattern: "^\\p{L}+$" }, "\\p{L}"],
      [{ type: "string", pattern: "^(?:a?)*$" }, "may be empty"],
      [{ type: "string", pattern: "^(?:[a-z]{1,100}){1,100}$" }, "2000"],
      [{ type: "string", pattern: "^[a-z]+$", maxLength: 5 }, "maxLength"],
      [{ type: "string", pattern: "^[a-z]*$", minLength: 1 }, "minLength"],
      [{ type: "string", pattern: "^\\p{L}+@a\\.de$", format: "email" }, "\\p{L}"],
      [zodResponseFormat(z.object({ a: z.iso.duration() }), "a").json_schema.schema ?? {}, "(?!.*W)"],
      [{ type: "string", pattern: "[" }, "no regular expression"],
      [{ type: "string", pattern: "^\\u0001$" }, "no answer has"],
    ] as const) {
      expect(refusedAs(schema), JSON.stringify(schema)).to.include(said);
    }
  });

  it("is refused at once where the schema is too large or too deep, also for a function that is not strict", () => {
    const twice = (name: string): object => ({ allOf: [{ $ref: name }, { $ref: name }] });
    const doubling = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`a${index}`, twice(`#/$defs/a${index + 1}`)]));
    let deep: JsonSchema = { type: "string" };
    for (let level = 0; level < 1_500; level += 1) deep = { anyOf: [deep, { type: "null" }] };
    const wide = Object.fromEntries(Array.from({ length: 2_001 }, (_, index) => [`p${index}`, { type: "null" }]));
    for (const schema of [
      { $defs: { ...doubling, a40: { type: "object" } }, properties: { a: { $ref: "#/$defs/a0" } } },
      { $defs: { a: { allOf: [{ $ref: "#/$defs/a" }] } }, properties: { a: { $ref: "#/$defs/a" } } },
      { properties: { deep } },
      { properties: wide },
    ]) {
      const begun = performance.now();
      expect(refusedAs(schema)).to.match(/parts|levels/u);
      expect(refusal(() => callGrammarOf([{ name: "f", parameters: schema, strict: false }]))).to.match(/parts|levels/u);
      expect(performance.now() - begun).to.be.lessThan(2_000);
    }
  });

  it("is refused where a text may be read in more ways than the engine can follow, and not where its choices are told apart in time", () => {
    const e = { $ref: "#/$defs/e" };
    const choice = (...anyOf: object[]): JsonSchema => ({ ...e, $defs: { e: { anyOf } } });
    const list = (items: object): JsonSchema => ({ type: "array", items, minItems: 1 });
    const object = (...properties: [string, object][]): JsonSchema => ({
      type: "object",
      properties: Object.fromEntries(properties),
      required: properties.map(([name]) => name),
      additionalProperties: false,
    });
    const operations = ["+", "-", "*"].map((op) => ({ const: op }));
    const values = (count: number): JsonSchema => ({ enum: Array.from({ length: count }, (_, index) => `v${index}`) });
    const chain = (length: number): JsonSchema => {
      const steps = Array.from({ length }, (_, index): [string, object] => {
        const next = list({ $ref: `#/$defs/${index + 1}` });
        return [`${index}`, { anyOf: [next, next] }];
      });
      return { $ref: "#/$defs/0", $defs: { ...Object.fromEntries(steps), [length]: { type: "string" } } };
    };
    for (const schema of [
      choice(list(e), list(e)), // the engine's work triples with each bracket
      choice({ type: "number" }, ...operations.map((op) => object(["left", e], ["op", op], ["right", e]))),
      chain(11),
      { anyOf: Array.from({ length: 3 }, () => ({ type: "string", pattern: "^(a{1,30}){1,30}$" })) },
      { anyOf: Array.from({ length: 20 }, () => list(values(60))) },
      values(1_001),
    ]) {
      expect(refusedAs(schema)).to.match(/may be read in more than 1000 ways/u);
      const parameters = { type: "object", properties: { a: schema }, $defs: schema.$defs };
      expect(refusal(() => callGrammarOf([{ name: "f", parameters, strict: false }]))).to.match(/may be read in more than 1000 ways/u);
    }
    const json = [{ type: ["string", "number", "boolean", "null"] }, list(e), { type: "object", additionalProperties: e }];
    for (const schema of [
      choice(...json),
      choice({ type: "number" }, ...operations.map((op) => object(["op", op], ["left", e], ["right", e]))),
      choice({ type: "number" }, ...operations.map((op) => object(["note", { type: "string" }], ["op", op], ["left", e], ["right", e]))),
      choice({ type: "null" }, object(["not", e]), object(["all", list(e)])),
      choice({ anyOf: [{ type: "string" }, { type: "null" }] }, object(["not", e]), object(["all", list(e)])),
      choice(object(["name", { type: "string" }], ["children", { type: "array", items: e }])),
      chain(9),
      { type: "string", pattern: "^.{0,1900}$" },
      {
        anyOf: Array.from({ length: 40 }, (_, kind) =>
          object(["a", { type: "string" }], ["b", { type: "number" }], ["kind", { const: kind }]),
        ),
      },
      values(1_000),
    ]) {
      expect(refusedAs(schema), JSON.stringify(schema)).to.equal("");
    }
  });

  it("is refused at once where its choices take long to tell apart", () => {
    const all = (count: number, property: (index: number) => [string, object]): object => {
      const properties = Array.from({ length: count }, (_, index) => property(index));
      return { type: "object", properties: Object.fromEntries(properties), required: properties.map(([name]) => name) };
    };
    const schemaOf = (choices: number, properties: number, inner: number): JsonSchema => ({
      oneOf: Array.from({ length: choices }, (_, index) => ({ $ref: `#/$defs/c${index}` })),
      $defs: {
        inner: all(inner, (index) => [`q${index}`, { type: "string" }]),
        ...Object.fromEntries(
          Array.from({ length: choices }, (_, choice) => [
            `c${choice}`,
            all(properties + 1, (index) => (index < properties ? [`p${index}`, { $ref: "#/$defs/inner" }] : ["z", { const: choice }])),
          ]),
        ),
      },
    });
    const { user: beforeUs } = process.cpuUsage();
    for (const schema of [schemaOf(20, 20, 60), schemaOf(20, 20, 300)]) expect(refusedAs(schema)).to.match(/take too long to tell apart/u);
    expect(refusedAs(schemaOf(10, 5, 5))).to.equal("");
    expect(process.cpuUsage().user - beforeUs).to.be.lessThan(2_000_000);
  });

  it("is made, or refused, at once where patterns are long, and named however often", () => {
    const pattern = `^${"\\w".repeat(1_900)}$`;
    const names = Array.from({ length: 550 }, (_, at) => [..."aaaaaaaaaa"].map((char, bit) => ((at >> bit) & 1 ? "%61" : char)).join(""));
    const properties = Object.fromEntries(names.map((name) => [name, { $ref: `#/$defs/${name}` }]));
    const named = { type: "object", properties, $defs: { aaaaaaaaaa: { type: "string", pattern } } };
    const { user: beforeUs } = process.cpuUsage();
    expect(refusedAs(named)).to.match(/a grammar of \d+ characters; up to 1000000 can be honoured/u);
    const parameters = { ...named, properties: { a: { type: "object", properties } } };
    expect(refusal(() => callGrammarOf([{ name: "f", parameters, strict: false }]))).to.match(/up to 1000000 can be honoured/u);
    const fewer = Object.fromEntries(Object.entries(properties).slice(0, 30));
    expect(refusedAs({ ...named, properties: fewer })).to.equal("");
    expect(refusedAs({ type: "string", pattern: "\\w".repeat(16_000) })).to.include("comes to more than 2000 characters");
    expect(process.cpuUsage().user - beforeUs).to.be.lessThan(2_000_000);
  });

  it("of a call asks for an object, whatever the function's schema says", () => {
    const call = (given: unknown): string => JSON.stringify({ name: "f", arguments: given });
    for (const parameters of [
      { $ref: "#/$defs/x", $defs: { x: { type: "object" } } },
      { type: "object", not: { required: ["z"] } },
      { type: "object", anyOf: [{ not: {} }, { type: "string" }] },
      { not: {} },
      { type: ["object", "null"] },
      {},
    ]) {
      const fits = regExpOf(callGrammarOf([{ name: "f", parameters, strict: false }]));
      expect(
        [{}, { a: 1 }].map((one) => fits.test(call(one))),
        JSON.stringify(parameters),
      ).to.deep.equal([true, true]);
      expect(
        [5, [1], null, "x"].map((one) => fits.test(call(one))),
        JSON.stringify(parameters),
      ).to.deep.equal([false, false, false, false]);
    }
    expect(callGrammarOf([{ name: "f", parameters: { $ref: "#/$defs/x", $defs: { x: { type: "object" } } }, strict: true }])).to.include(
      "f",
    );
    for (const parameters of [{ type: "array" }, { $ref: "#/$defs/x", $defs: { x: { type: "string" } } }]) {
      expect(refusal(() => callGrammarOf([{ name: "f", parameters, strict: false }]))).to.include("must be an object");
    }
  });
});
