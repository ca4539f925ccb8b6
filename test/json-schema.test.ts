import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import type { JsonSchema } from "../models/engine.ts";
import { checkSchema, misfitIn } from "../server/caller-schema.ts";
import { fromDraft07 } from "../server/draft-07.ts";
import type { Fault } from "../server/fault.ts";
import { misfitOf, SchemaError } from "../server/json-schema.ts";

describe("a schema that a caller sends", function () {
  this.timeout(60_000);
  const twice = (name: string): object => ({ allOf: [{ $ref: name }, { $ref: name }] });
  const doubling = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`a${index}`, twice(`#/$defs/a${index + 1}`)]));
  const toRead = { $ref: "#/$defs/a0", $defs: { ...doubling, a40: { type: "object" } } };
  const refused = async (schema: object): Promise<string> => {
    try {
      await checkSchema({ ...schema }, "a");
    } catch (error) {
      expect(error).to.be.instanceOf(SchemaError);
      return String(error);
    }
    return "";
  };

  it("is judged at once, whatever `$async` says", async () => {
    for (const $async of [true, false]) {
      expect(misfitOf({ $async, type: "object", required: ["x"] })({})).to.include("required");
      expect(await misfitIn("{}", { $async, type: "object", required: ["x"] }, "a")).to.include("required");
    }
  });

  it("may refer to itself, and never to a part of another one", async () => {
    const itself = { type: "object", properties: { child: { $ref: "#" }, value: { type: "number" } } };
    expect(await misfitIn('{"child":{"value":1}}', itself, "a")).to.equal(undefined);
    expect(await misfitIn('{"child":{"value":"1"}}', itself, "a")).to.include("number");
    const owner = { $defs: { z: { $id: "https://bank/iban", type: "string" } } };
    expect(await refused(owner)).to.equal("");
    expect(await refused({ properties: { x: { $ref: "https://bank/iban" } } })).to.include("can't resolve reference");
    for (const $id of ["https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2020-12/meta/applicator"]) {
      await refused({ $defs: { a: { $id } } });
      expect(await refused({ type: "objekt" })).to.include("is not a JSON Schema");
      expect(await misfitIn('{"a":1}', { properties: { a: { type: "string" } } }, "a")).to.include("string");
    }
  });

  it("is read anew for each caller: nobody learns from the time it takes what another has sent", () => {
    const schema = (account: string): JsonSchema => ({ properties: { account: { const: account } } });
    const known = misfitOf(schema("ACC-4711"), "a");
    expect(misfitOf(schema("ACC-4711"), "a")).to.equal(known);
    expect(misfitOf(schema("ACC-4711"), "b")).to.not.equal(known);
    expect(misfitOf(schema("ACC-4711"))).to.not.equal(known);
  });

  it("whose patterns can't be checked is not called something else, and the place of the pattern is told", async () => {
    for (const [schema, said] of [
      [{ properties: { a: { pattern: "^(?=a)b$" } } }, "at #/properties/a/pattern: invalid or unsupported Perl syntax `(?=`"],
      [{ items: { anyOf: [{ type: "null" }, { pattern: "(a)\\1" }] } }, "at #/items/anyOf/1/pattern: invalid escape sequence `\\1`"],
      [
        { properties: { a: { patternProperties: { "^.{1,2000}$": {} } } } },
        "at #/properties/a/patternProperties: invalid repeat count `{1,2000}`",
      ],
    ] as const) {
      const error = await checkSchema(schema, "a").catch((cause: SchemaError) => cause);
      expect(error).to.include({ code: "schema_unsupported", message: `holds a pattern that can't be checked, ${said}` });
    }
    const wrong = await checkSchema({ type: "objekt" }, "a").catch((cause: SchemaError) => cause);
    expect(wrong).to.include({ code: "invalid_value" });
  });

  it("may speak of lists as draft 7 does, and what is no schema in it stays as it is", () => {
    const pair = [{ type: "string" }, { type: "number" }];
    const data = { items: [1], additionalItems: false };
    expect(
      fromDraft07({
        type: "object",
        properties: {
          items: { items: [{ items: pair }], additionalItems: { items: { type: "null" }, additionalItems: false } },
          b: { const: data },
        },
        default: data,
        enum: [data],
        $defs: { additionalItems: { type: "array", items: { type: "null" } } },
      }),
    ).to.deep.equal({
      type: "object",
      properties: {
        items: { prefixItems: [{ prefixItems: pair }], items: { items: { type: "null" }, additionalItems: false } },
        b: { const: data },
      },
      default: data,
      enum: [data],
      $defs: { additionalItems: { type: "array", items: { type: "null" } } },
    });
    const newer = { prefixItems: pair, items: false };
    expect(fromDraft07(newer)).to.deep.equal(newer);
    const both = { prefixItems: pair, items: pair };
    expect(() => misfitOf(fromDraft07(both))).to.throw(SchemaError, "is not a JSON Schema");
  });

  it("may be long, as lists of values are, and is told by a true sentence that it is too long", async () => {
    const value = (index: number): string => `${index}`.padStart(36, "0");
    const listed = (count: number) => ({
      type: "object",
      properties: { id: { enum: Array.from({ length: count }, (_, index) => value(index)) } },
    });
    expect(await refused(listed(1_000))).to.equal("");
    expect(await misfitIn(JSON.stringify({ id: value(999) }), listed(1_000), "a")).to.equal(undefined);
    expect(await misfitIn(JSON.stringify({ id: value(1_000) }), listed(1_000), "a")).to.include(
      "must be equal to one of the allowed values",
    );
    const room = 262_144 - JSON.stringify({ title: "" }).length;
    expect(await refused({ title: "a".repeat(room) })).to.equal("");
    expect(await refused({ title: "a".repeat(room + 1) })).to.include("is longer than 262144 characters");
    const properties = Object.fromEntries(
      Array.from({ length: 3_800 }, (_, index) => [`property${index}`, { type: "string", maxLength: 9 }]),
    );
    expect(await refused({ properties })).to.match(/: (?:is too large to check|takes too long to check)\. Simplify it$/u);
  });

  it("has its time for itself: a thread has read the schema of schemas before it takes the first", async () => {
    const thread = new Worker(new URL("../server/caller-schema-worker.ts", import.meta.url));
    await once(thread, "message");
    const startedAt = await thread.cpuUsage();
    thread.postMessage({ caller: "a", schema: { type: "object", properties: { part: { type: "string" } } } });
    await once(thread, "message");
    const { user, system } = await thread.cpuUsage(startedAt);
    await thread.terminate();
    expect((user + system) / 1000, "CPU time in milliseconds").to.be.lessThan(40);
  });

  it("keeps no finished answer waiting for what else its caller has asked, and never turns one away", async () => {
    const schema = { type: "object" };
    const order: string[] = [];
    const asked = Array.from({ length: 40 }, () =>
      checkSchema(schema, "a").then(
        () => order.push("asked"),
        (error: Fault) => order.push(error.code),
      ),
    );
    const held = misfitIn("{}", schema, "a").then((misfit) => order.push(misfit ?? "fits"));
    await Promise.all([...asked, held]);
    expect(order).to.deep.equal([...Array(7).fill("guards_busy"), "asked", "fits", ...Array(32).fill("asked")]);
  });

  it("is not read for who has left, whether it waits or is being read", async () => {
    const leave = new AbortController();
    const reason = new Error("left");
    const startedMs = performance.now();
    const all = [toRead, { type: "object" }].map((schema) => checkSchema(schema, "a", leave.signal).catch((error) => error));
    leave.abort(reason);
    expect(await Promise.all(all)).to.deep.equal([reason, reason]);
    expect(performance.now() - startedMs).to.be.lessThan(1_000);
    expect(await refused({ type: "object" }), "others go on").to.equal("");
  });

  it("that takes for ever is refused, a value that does is no fit, and the service goes on meanwhile", async () => {
    let turns = 0;
    let longestMs = 0;
    let at = performance.now();
    const clock = setInterval(() => {
      turns += 1;
      longestMs = Math.max(longestMs, performance.now() - at);
      at = performance.now();
    }, 20);
    const either = { anyOf: [{ $ref: "#/$defs/a" }, { $ref: "#/$defs/a" }] };
    const toFit = { $ref: "#/$defs/a", $defs: { a: { type: "object", properties: { c: either, z: { type: "null" } } } } };
    const value = `${'{"c":'.repeat(40)}{"z":1}${"}".repeat(40)}`;
    const slow = (await refused(toRead)) + ((await misfitIn("{}", toRead, "a")) ?? "");
    expect(slow).to.include("takes too long");
    expect(await misfitIn(value, toFit, "a")).to.include("takes too long");
    expect(await misfitIn("{}", toFit, "a")).to.equal(undefined);
    clearInterval(clock);
    expect(turns).to.be.greaterThan(50);
    expect(longestMs).to.be.lessThan(1_500);
  });
});
