import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import {
  anything,
  asyncProperty,
  assert as check,
  constant,
  constantFrom,
  dictionary,
  oneof,
  record,
  string,
  uint8Array,
} from "fast-check";
import { Fault } from "../server/fault.ts";
import { chatRequestSchema } from "../server/wire/chat-request.ts";
import { checked } from "../server/wire/checked.ts";
import { prepareData, userSays } from "./support/appliance.ts";
import { type Service, startService } from "./support/service.ts";

/** Stands in every malformed body, and must not stand in any log. */
const canary = "CANARY7f3a";

const key = oneof(constantFrom("messages", "model", "stream", "stop", "n", "tools", "__proto__", "constructor", ""), string());
const value = oneof(anything(), constant(canary), constant({ role: "user", content: { deep: canary } }));
const wrongMessages = oneof(
  constant(canary),
  constant([]),
  constant([{ role: canary, content: canary }]),
  constant([{ role: "user", content: [{ type: "input_audio", [canary]: 1 }] }]),
  constant([{ role: "user", content: canary, name: 1 }]),
);

/** Bodies that can't be calls: wrong JSON, wrong shapes, wrong names. */
const malformed = oneof(
  dictionary(key, value).map((body) => JSON.stringify({ ...body, [`${canary}_key`]: canary })),
  record({ messages: wrongMessages }).map((body) => JSON.stringify(body)),
  string().map((text) => `{"messages": "${canary}", ${text}`),
  uint8Array({ minLength: 1 }).map((bytes) => Buffer.concat([Buffer.from(`[${canary}`), bytes])),
  string({ maxLength: 40 }).map((text) => `"${canary}${"[".repeat(40)}${text}`),
  constantFrom("null", "[]", "0", `"${canary}"`, "{}", '{"messages":null}', `{"messages":[${"[".repeat(100)}`),
);

describe("a malformed body", () => {
  let service: Service;
  before(async () => {
    service = await startService(prepareData());
  });
  after(() => service.end("SIGKILL"));

  it("gets a 4xx in OpenAI's shape, 200 times; nothing crashes, and no log holds a word of it", async () => {
    await check(
      asyncProperty(malformed, constantFrom("/v1/chat/completions", "/v1/guard/check"), async (body, path) => {
        const { status, body: reply, text } = await service.call("POST", path, body);
        expect(status).to.be.within(400, 499);
        expect(Object.keys(reply)).to.deep.equal(["error"]);
        expect(reply.error.message).to.be.a("string");
        expect(reply.error.type).to.equal("invalid_request_error");
        expect(reply.error).to.have.property("param");
        expect(reply.error.code).to.match(/^[a-z_]+$/u);
        expect(text).to.not.match(/\.ts:|node_modules| {4}at /u);
      }),
      { numRuns: 200 },
    );
    expect((await service.call("GET", "/healthz")).status).to.equal(200);
    expect(service.output()).to.not.match(/"level":[56]0/u);
    expect(service.output()).to.not.include(canary);
    expect(readFileSync(join(service.dataDir, "audit.db"), "latin1")).to.not.include(canary);
  }).timeout(60_000);

  it("of very many values is refused before they are looked at, and one of many says what is wrong; commas within a text are text", async () => {
    const check = async (input: unknown): Promise<unknown[]> => {
      const { status, body } = await service.call("POST", "/v1/guard/check", JSON.stringify({ input }));
      return [status, body.error?.code, body.error?.message];
    };
    expect(await check(Array(100_001).fill(0))).to.deep.equal([400, "invalid_json", "The body holds more than 100000 values."]);
    const parts = [{ role: "user", content: Array(90_000).fill(0) }];
    expect((await check(parts)).slice(0, 2)).to.deep.equal([400, "invalid_value"]);
    expect((await check(`"${",".repeat(110_000)}`))[0]).to.equal(200);
    const more = { messages: [{ role: "user", content: Array(200_000).fill(0) }] };
    expect(() => checked(chatRequestSchema, more)).to.throw(Fault, "messages[0].content[0]");
  });

  it("nor does a log hold a word of a call that is answered, refused or cancelled", async () => {
    const say = (content: string, more: object = {}): Promise<unknown> =>
      service.call("POST", "/v1/chat/completions", { messages: [{ role: "user", content }], user: canary, ...more });
    await say(`${canary} is answered`);
    await say(`${canary} is streamed`, { stream: true });
    await say(`${canary} is refused ${"\b".repeat(50)}`);
    await say(`${canary} is not known`, { model: canary });
    await say(`${canary} stops`, { stop: canary });
    const leave = new AbortController();
    const left = service.call(
      "POST",
      "/v1/chat/completions",
      { messages: [{ role: "user", content: `${canary} `.repeat(190) }] },
      leave.signal,
    );
    setTimeout(() => leave.abort(), 5);
    await left.catch(() => {});
    await service.call("GET", `/v1/models/${canary}`);
    await service.call("GET", `/${canary}?${canary}=1`);
    expect((await service.call("GET", "/healthz")).status).to.equal(200);
    expect(service.output()).to.not.include(canary);
  });
});

describe("a schema that the engine can't read", () => {
  it("is refused, and stands in no log", async () => {
    const service = await startService(prepareData(), "models: [{ id: smollm2-135m-instruct }]\n");
    const items = { type: "string", maxLength: 900 };
    const schema = { type: "object", properties: { [canary]: { type: "array", items, minItems: 100 } }, required: [canary] };
    const response_format = { type: "json_schema", json_schema: { name: "a", schema, strict: false } };
    const { status, body } = await service.call("POST", "/v1/chat/completions", { ...userSays("Hi"), response_format });
    expect([status, body.error?.code]).to.deep.equal([400, "schema_unsupported"]);
    expect(await service.end("SIGTERM")).to.equal(0);
    expect(service.output()).to.not.include(canary);
  }).timeout(60_000);
});
