import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { mock } from "node:test";
import { expect } from "chai";
import OpenAI, { toFile } from "openai";
import { FormData, fetch } from "undici";
import { issueClient, revoke } from "../certs/authority.ts";
import { EchoEngine } from "../models/echo-engine.ts";
import { LlamaEngine } from "../models/llama-engine.ts";
import { Slots } from "../models/slots.ts";
import type { LineReply } from "../server/batches/batch-steps.ts";
import { BatchStore } from "../server/batches/batch-store.ts";
import { Batches } from "../server/batches/batches.ts";
import { misfitIn } from "../server/caller-schema.ts";
import { Events } from "../server/events.ts";
import type { Caller } from "../server/pipeline/call.ts";
import { clientAgent, type Json, prepareData, prose, startTestAppliance, type TestAppliance, userSays } from "./support/appliance.ts";
import { entriesOf } from "./support/entries.ts";
import { llamaSettings } from "./support/model.ts";
import { type Service, startService } from "./support/service.ts";
import { pause, until } from "./support/until.ts";

const chat = "/v1/chat/completions" as const;

const lineOf = (customId: string, content: string, more: object = {}): string =>
  JSON.stringify({ custom_id: customId, method: "POST", url: chat, body: { ...userSays(content), ...more } });

const linesOf = (count: number, content: string): string[] =>
  Array.from({ length: count }, (_, index) => lineOf(`line-${index + 1}`, content));

async function begin(client: OpenAI, lines: readonly string[], more: object = {}): Promise<OpenAI.Batch> {
  const file = await client.files.create({ purpose: "batch", file: await toFile(Buffer.from(lines.join("\n")), "calls.jsonl") });
  return await client.batches.create({ input_file_id: file.id, endpoint: chat, completion_window: "24h", ...more });
}

async function ended(client: OpenAI, { id }: { id: string }, limitMs = 10_000): Promise<OpenAI.Batch> {
  let batch = await client.batches.retrieve(id);
  await until(async () => {
    batch = await client.batches.retrieve(id);
    return ["completed", "failed", "cancelled", "expired"].includes(batch.status);
  }, limitMs);
  return batch;
}

async function resultsOf(client: OpenAI, file: string | undefined): Promise<Json[]> {
  if (file === undefined || file === null) return [];
  const text = await (await client.files.content(file)).text();
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

const failureOf = (promise: Promise<unknown>): Promise<Json> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe("batches", () => {
  let appliance: TestAppliance;
  let client: OpenAI;
  before(async () => {
    appliance = await startTestAppliance({
      engines: [new EchoEngine("echo"), new EchoEngine("slow", { tokenDelayMs: 20 }), new EchoEngine("slower", { tokenDelayMs: 200 })],
      config: (config) => ({
        ...config,
        limits: { ...config.limits, body_bytes_max: 10_000 },
        batches: { ...config.batches, file_bytes_max: 200_000, lines_max: 500, caller_bytes_max: 400_000 },
      }),
    });
    client = appliance.openai();
  });
  after(() => appliance[Symbol.asyncDispose]());

  it("are uploaded, created, polled and read with the stock SDK, and say which line went how", async () => {
    const lines = [
      lineOf("one", "Pay with 4111 1111 1111 1111, please."),
      lineOf("bad", "\b".repeat(50)),
      lineOf("none", "Hello", { model: "gpt-9" }),
      lineOf("two", "one two three", { max_tokens: 2 }),
    ];
    const created = await begin(client, lines, { metadata: { night: "first" } });
    expect(created).to.include({ object: "batch", status: "validating", endpoint: chat, completion_window: "24h", output_file_id: null });
    const batch = await ended(client, created);
    expect([batch.status, batch.request_counts, batch.metadata]).to.deep.equal([
      "completed",
      { total: 4, completed: 2, failed: 2 },
      { night: "first" },
    ]);
    for (const time of [batch.in_progress_at, batch.finalizing_at, batch.completed_at])
      expect(time).to.be.within(batch.created_at, Date.now());
    const answers = await resultsOf(client, batch.output_file_id);
    const said = answers.map(({ custom_id, response: { status_code, body } }) => [
      custom_id,
      status_code,
      body.object,
      body.choices[0].message.content,
      body.choices[0].finish_reason,
    ]);
    expect(said).to.deep.equal([
      ["one", 200, "chat.completion", "Pay with 4111 1111 1111 1111, please.", "stop"],
      ["two", 200, "chat.completion", "one two", "length"],
    ]);
    const errors = await resultsOf(client, batch.error_file_id);
    const why = errors.map(({ custom_id, response: { status_code, body } }) => [custom_id, status_code, body.error.type, body.error.code]);
    expect(why).to.deep.equal([
      ["bad", 400, "guard_refusal", "control_characters"],
      ["none", 404, "invalid_request_error", "model_not_found"],
    ]);
    expect(errors[0].response.body.error.findings[0]).to.include({ guard: "control_characters", action: "block" });
    const calls = entriesOf(appliance.config.dataDir).filter(({ body }) => body.caller?.name === "app");
    expect(calls.map(({ kind, body }) => [kind, body.decision])).to.deep.equal([
      ["received", "pass"],
      ["received", "block"],
      ["received", "pass"],
    ]);
  });

  it("ask text completions, embeddings and responses as well", async () => {
    const asked = {
      "/v1/completions": { prompt: "one two" },
      "/v1/embeddings": { input: "one two" },
      "/v1/responses": { input: "one two" },
    } as const;
    for (const [url, body] of Object.entries(asked)) {
      const line = JSON.stringify({ custom_id: "a", method: "POST", url, body });
      const batch = await ended(client, await begin(client, [line], { endpoint: url }));
      const [answer] = await resultsOf(client, batch.output_file_id);
      expect(answer.response.body.object).to.equal({ "/v1/completions": "text_completion", "/v1/embeddings": "list" }[url] ?? "response");
    }
  });

  it("and files are seen by who sent them alone: to another identity they are what never was", async () => {
    const batch = await ended(client, await begin(client, [lineOf("mine", "one two")]));
    const other = appliance.openai("operator");
    expect(await Array.fromAsync(other.files.list())).to.deep.equal([]);
    expect(await Array.fromAsync(other.batches.list())).to.deep.equal([]);
    const ids = [batch.input_file_id, batch.output_file_id ?? ""];
    const errorsFor = async (file: string, one: string): Promise<unknown[]> =>
      await Promise.all(
        [
          other.files.retrieve(file),
          other.files.content(file),
          other.files.delete(file),
          other.batches.create({ input_file_id: file, endpoint: chat, completion_window: "24h" }),
          other.batches.retrieve(one),
          other.batches.cancel(one),
        ].map(async (call) => {
          const { status, error } = await failureOf(call as Promise<unknown>);
          return [status, error];
        }),
      );
    for (const id of ids) expect(await errorsFor(id, batch.id)).to.deep.equal(await errorsFor("file-none", "batch_none"));
    for (const [status] of (await errorsFor("file-none", "batch_none")) as [number][]) expect(status).to.equal(404);
    expect((await client.files.retrieve(batch.input_file_id)).filename).to.equal("calls.jsonl");
  });

  it("fail as a whole when a line is wrong, and say which and why", async () => {
    const lines = [
      lineOf("a", "one"),
      "{not json",
      lineOf("a", "again"),
      JSON.stringify({ custom_id: "d", method: "GET", url: chat, body: {} }),
      JSON.stringify({ custom_id: "e", method: "POST", url: "/v1/completions", body: {} }),
      lineOf("f", "one", { tempretaure: 1 }),
      lineOf("g", "one", { stream: true }),
      "",
      lineOf("i", "one"),
    ];
    const batch = await ended(client, await begin(client, lines));
    expect([batch.status, batch.output_file_id, batch.error_file_id]).to.deep.equal(["failed", null, null]);
    expect(batch.errors?.data?.map(({ line, code, param }) => [line, code, param])).to.deep.equal([
      [2, "invalid_json", null],
      [3, "invalid_value", "custom_id"],
      [4, "invalid_value", "method"],
      [5, "invalid_value", "url"],
      [6, "unknown_parameter", "tempretaure"],
      [7, "invalid_value", "body.stream"],
      [8, "invalid_json", null],
    ]);
    expect(batch.errors?.data?.[0]?.message).to.match(/^Line 2: /u);
  });

  it("take no file that is too large, has too long or too many lines, is empty, or is for something else", async () => {
    const send = async (content: string, purpose = "batch"): Promise<unknown> => {
      const file = await toFile(Buffer.from(content), "a.jsonl");
      const { status, code, param } = await failureOf(client.files.create({ purpose: purpose as "batch", file }));
      return [status, code, param ?? undefined];
    };
    expect(await send("x".repeat(10_001))).to.deep.equal([413, "body_too_large", undefined]);
    expect(await send("x\n".repeat(501))).to.deep.equal([400, "invalid_value", "file"]);
    expect(await send(`${"x".repeat(999)}\n`.repeat(201))).to.deep.equal([413, "body_too_large", undefined]);
    expect(await send("")).to.deep.equal([400, "invalid_value", "file"]);
    expect(await send("{}\n", "assistants")).to.deep.equal([400, "invalid_value", "purpose"]);
    const form = new FormData();
    form.set("purpose", "batch");
    const options = { method: "POST", body: form, dispatcher: appliance.agent() };
    const missing = await fetch(`${appliance.url}/v1/files`, options);
    expect([missing.status, ((await missing.json()) as Json).error.code]).to.deep.equal([400, "missing_parameter"]);
    const json = await appliance.call("POST", "/v1/files", {});
    expect([json.status, json.body.error.code]).to.deep.equal([415, "unsupported_media_type"]);
    const cut = await appliance.call("POST", "/v1/files", "--b\r\nContent-Dispo", {
      headers: { "content-type": "multipart/form-data; boundary=b" },
    });
    expect([cut.status, cut.body.error.code]).to.deep.equal([400, "invalid_value"]);
    const before = (await Array.fromAsync(client.files.list())).length;
    const whole = `${"x".repeat(999)}\n`.repeat(200);
    const patient = appliance.openai().withOptions({ maxRetries: 10 }); // what was refused counts until it is erased
    const { id, bytes } = await patient.files.create({ purpose: "batch", file: await toFile(Buffer.from(whole), "a.jsonl") });
    expect([bytes, await (await client.files.content(id)).text()]).to.deep.equal([200_000, whole]);
    expect(await send(whole), "no room left").to.deep.equal([429, "quota_exceeded", undefined]);
    expect((await Array.fromAsync(client.files.list())).length).to.equal(before + 1);
    expect(await client.files.delete(id)).to.include({ id, deleted: true });
    expect((await failureOf(client.files.retrieve(id))).status).to.equal(404);
  });

  it("refuse a form that is cut off, one file too many, and headers named as what every object has; the service lives", async () => {
    const send = async (form: string, as = "app"): Promise<unknown> => {
      const { status, body } = await appliance.call("POST", "/v1/files", form, {
        as,
        headers: { "content-type": "multipart/form-data; boundary=b" },
      });
      return [status, body.error?.code];
    };
    const head = 'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\n';
    const whole = `--b\r\n${head}\r\n{}\r\n--b--\r\n`;
    for (const cut of [`--b\r\n${head}\r\n{}`, `--b\r\n${head}\r\n${"{}\n".repeat(40_000)}`])
      expect(await send(cut)).to.deep.equal([400, "invalid_value"]);
    for (const name of ["constructor", "__proto__", "toString"]) {
      expect(await send(`--b\r\n${name}: a\r\n${whole.slice(5)}`)).to.deep.equal([400, "invalid_value"]);
      const late = `--b\r\n${head}\r\n${"{}\n".repeat(40_000)}\r\n--b\r\n${name}: a\r\n\r\n\r\n--b--\r\n`;
      expect(await send(late)).to.deep.equal([400, "invalid_value"]);
    }
    expect(await send("--b\r\nX: a\r\n--b--\r\n"), "a part without content").to.deep.equal([400, "invalid_value"]);
    const purpose = 'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n';
    expect(await send(`--b\r\n${purpose}${whole}${"x".repeat(200_000)}`), "what follows a form is not read").to.deep.equal([
      200,
      undefined,
    ]);
    const store = new BatchStore(appliance.config.dataDir, 1);
    for (let count = 0; count < 1_000; count += 1) store.beginFile("operator", "batch", "a.jsonl");
    store.close();
    expect(await send(whole, "operator")).to.deep.equal([429, "quota_exceeded"]);
    expect((await appliance.call("GET", "/healthz")).status).to.equal(200);
  });

  it("are listed page by page, and a parameter that is not known is refused", async () => {
    const all = (await Array.fromAsync(client.batches.list())).map(({ id }) => id);
    expect((await Array.fromAsync(client.batches.list({ limit: 2 }))).map(({ id }) => id)).to.deep.equal(all);
    expect(all.length).to.be.above(2);
    const oldest = await client.files.list({ limit: 1, order: "asc", purpose: "batch" });
    expect([oldest.data.length, oldest.data[0]?.id]).to.deep.equal([
      1,
      (await Array.fromAsync(client.files.list({ purpose: "batch" }))).at(-1)?.id,
    ]);
    expect((await client.files.list({ limit: 10_000 })).has_more).to.equal(false);
    for (const query of ["limit=0", "limit=x", "colour=red", "after=a&after=b"])
      expect((await appliance.call("GET", `/v1/batches?${query}`)).status, query).to.equal(400);
    const [file] = (await client.files.list({ limit: 1 })).data;
    for (const [path, as, code] of [
      ["/v1/batches?after=batch_none", "app", "batch_not_found"],
      ["/v1/files?after=file-none", "app", "file_not_found"],
      [`/v1/batches?after=${all[0]}`, "operator", "batch_not_found"],
      [`/v1/files?after=${file?.id}`, "operator", "file_not_found"],
    ] as const) {
      const { status, body } = await appliance.call("GET", path, undefined, { as });
      expect([path, status, body.error?.code, body.error?.param]).to.deep.equal([path, 404, code, "after"]);
    }
  });

  it("end when they are cancelled: what was answered is kept, the rest says why not", async () => {
    const batch = await begin(
      client,
      linesOf(4, prose(12)).map((line) => line.replace('"messages"', '"model":"slow","messages"')),
    );
    await until(async () => (await client.batches.retrieve(batch.id)).request_counts?.completed === 1);
    expect((await client.batches.cancel(batch.id)).status).to.equal("cancelling");
    const { status, request_counts, output_file_id, error_file_id } = await ended(client, batch);
    expect([status, request_counts]).to.deep.equal(["cancelled", { total: 4, completed: 1, failed: 3 }]);
    expect((await resultsOf(client, output_file_id)).map(({ custom_id }) => custom_id)).to.deep.equal(["line-1"]);
    const errors = await resultsOf(client, error_file_id);
    expect(errors.map(({ custom_id, error }) => [custom_id, error.code])).to.deep.equal(
      [2, 3, 4].map((number) => [`line-${number}`, "batch_cancelled"]),
    );
    const finished = await ended(client, await begin(client, [lineOf("a", "one")]));
    expect(await failureOf(client.batches.cancel(finished.id))).to.include({ status: 400, code: "invalid_value" });
  });

  it("do not go on with a line that is cancelled while its schema is read", async () => {
    const received = (): number => entriesOf(appliance.config.dataDir).filter(({ kind }) => kind === "received").length;
    const before = received();
    const either = { anyOf: [{ $ref: "#/$defs/a" }, { $ref: "#/$defs/a" }] };
    const slow = { $ref: "#/$defs/a", $defs: { a: { type: "object", properties: { c: either, z: { type: "null" } } } } };
    const first = misfitIn(`${'{"c":'.repeat(40)}{"z":1}${"}".repeat(40)}`, slow, "a"); // schemas are looked at in turn
    const schema = { type: "object", properties: {}, required: [], additionalProperties: false };
    const batch = await begin(client, [
      lineOf("a", "one", { response_format: { type: "json_schema", json_schema: { name: "none", strict: true, schema } } }),
    ]);
    await until(async () => (await client.batches.retrieve(batch.id)).status === "in_progress");
    await pause(100);
    await client.batches.cancel(batch.id);
    expect(await first).to.include("takes too long");
    const { status, request_counts } = await ended(client, batch);
    expect([status, request_counts]).to.deep.equal(["cancelled", { total: 1, completed: 0, failed: 1 }]);
    expect(received()).to.equal(before);
  });

  it("of one caller take their lines in turn; one that takes long holds up neither others' lines nor whatever else is to be done", async () => {
    const long = await begin(client, [lineOf("a", prose(150), { model: "slower" })]);
    await until(async () => (await client.batches.retrieve(long.id)).status === "in_progress");
    const wrong = await ended(client, await begin(client, ["{not json"]));
    const next = await begin(client, linesOf(2, "one"));
    await until(async () => (await client.batches.retrieve(next.id)).status === "in_progress");
    await client.batches.cancel(next.id);
    const cut = await ended(client, next);
    issueClient(appliance.certsDir, "neighbour", "app");
    const neighbour = appliance.openai("neighbour");
    const other = await ended(neighbour, await begin(neighbour, [lineOf("a", "one")]));
    expect([wrong, cut, other].map(({ status }) => status)).to.deep.equal(["failed", "cancelled", "completed"]);
    expect(cut.request_counts).to.deep.equal({ total: 2, completed: 0, failed: 2 });
    expect((await client.batches.retrieve(long.id)).status).to.equal("in_progress");
    await client.batches.cancel(long.id);
    expect((await ended(client, long)).status).to.equal("cancelled");
  });

  it("are written off a few hundred lines at a time when they are cancelled, and others go on between", async () => {
    const lines = linesOf(450, "one").map((line) => line.replace('"messages"', '"model":"slower","messages"'));
    const long = await begin(client, lines);
    await until(async () => (await client.batches.retrieve(long.id)).status === "in_progress");
    const counts: (number | undefined)[] = [];
    const { record } = BatchStore.prototype;
    const kept = mock.method(BatchStore.prototype, "record", function (this: BatchStore, ...done: Parameters<typeof record>) {
      counts.push(done[3].length);
      record.apply(this, done);
    });
    try {
      await client.batches.cancel(long.id);
      const { status, request_counts, error_file_id } = await ended(client, long);
      expect([status, request_counts?.failed]).to.deep.equal(["cancelled", 450]);
      expect(counts).to.deep.equal([200, 200, 50]);
      expect((await resultsOf(client, error_file_id)).map(({ custom_id }) => custom_id)).to.deep.equal(
        lines.map((_, index) => `line-${index + 1}`),
      );
    } finally {
      kept.mock.restore();
    }
  });

  /** Batches with a store of their own, whose callers' certificates are their names. */
  const apart = (store: BatchStore): Batches => {
    const { limits, batches: bounds } = appliance.config;
    const callerBy = (certificate: Buffer): Caller => ({ name: certificate.toString(), role: "app", serial: "1" });
    return new Batches(store, { callerBy, limits: { ...limits, ...bounds } }, new Events("silent"));
  };
  const beginApart = (batches: Batches, owner: string, lines: readonly string[]): string => {
    const upload = batches.upload(owner, "calls.jsonl");
    upload.take(Buffer.from(lines.join("\n")));
    upload.end();
    return batches.create(owner, Buffer.from(owner), { endpoint: chat, input_file_id: upload.id, metadata: null }).id;
  };
  const good: LineReply = { requestId: "r", status: 200, body: {} };

  it("hold up nobody else's when a mistake of ours keeps one from going on", async () => {
    const store = new BatchStore(prepareData(), 1);
    await using batches = apart(store);
    const check = (body: unknown): void => {
      if (JSON.stringify(body).includes("mistake")) throw new RangeError("ours");
    };
    const stuck = beginApart(batches, "neighbour", [lineOf("a", "mistake")]);
    const next = beginApart(batches, "other", [lineOf("a", "one")]);
    batches.start(new Map([[chat, { check, ask: async () => good }]]));
    await until(() => store.job("other", next).batch.status === "completed");
    expect(store.job("neighbour", stuck).batch.status).to.equal("validating");
  });

  it("are looked at a few hundred lines at a time, one of each caller, and others go on between", async () => {
    const store = new BatchStore(prepareData(), 1);
    await using batches = apart(store);
    const long = [beginApart(batches, "neighbour", linesOf(450, "one")), beginApart(batches, "neighbour", linesOf(450, "two"))];
    const short = beginApart(batches, "other", [lineOf("a", "three")]);
    const checked = { one: 0, two: 0, three: 0 };
    const seen: object[] = [];
    const check = (body: unknown): void => {
      for (const word of ["one", "two", "three"] as const) if (JSON.stringify(body).includes(word)) checked[word] += 1;
    };
    const ask = async (_: unknown, { name }: Caller): Promise<LineReply> => {
      if (name === "other") seen.push({ ...checked });
      return good;
    };
    batches.start(new Map([[chat, { check, ask }]]));
    await until(() => store.job("other", short).batch.status === "completed");
    expect(seen).to.deep.equal([{ one: 400, two: 0, three: 1 }]);
    await until(() => long.every((id) => store.job("neighbour", id).batch.status === "in_progress"));
    expect(checked).to.deep.equal({ one: 450, two: 450, three: 1 });
  });

  it("fail when their input is removed while it is looked at", async () => {
    const store = new BatchStore(prepareData(), 1);
    await using batches = apart(store);
    const id = beginApart(batches, "app", linesOf(450, "one"));
    let checked = 0;
    const check = (): void => {
      checked += 1;
      if (checked === 200) store.dropFile(store.job("app", id).batch.input_file_id);
    };
    batches.start(new Map([[chat, { check, ask: async () => good }]]));
    await until(() => !["validating", "in_progress"].includes(store.job("app", id).batch.status));
    const { status, errors } = store.job("app", id).batch;
    expect([status, errors?.data.map(({ code }) => code)]).to.deep.equal(["failed", ["file_not_found"]]);
  });

  it("that are cancelled say no more of their lines than there is room for", async () => {
    const store = new BatchStore(prepareData(), 1);
    await using batches = apart(store);
    const upload = batches.upload("app", "calls.jsonl");
    upload.take(Buffer.from(linesOf(450, "one").join("\n")));
    upload.end();
    const ids = Array.from(
      { length: 8 },
      () => batches.create("app", Buffer.from("app"), { endpoint: chat, input_file_id: upload.id, metadata: null }).id,
    );
    const now = (): Json[] => ids.map((id) => store.job("app", id).batch);
    const ask = (_: unknown, __: Caller, signal: AbortSignal): Promise<undefined> =>
      new Promise((resolve) => signal.addEventListener("abort", () => resolve(undefined)));
    batches.start(new Map([[chat, { check: () => {}, ask }]]));
    await until(() => now().every(({ status }) => status === "in_progress"));
    for (const id of ids) batches.cancel("app", id);
    await until(() => now().every(({ status }) => status === "cancelled"));
    const { caller_bytes_max: bytesMax } = appliance.config.batches;
    expect(store.bytesOf("app"), "the room, and what is written off at a time").to.be.within(bytesMax, bytesMax + 100_000);
    const [first, last] = [now()[0], now().at(-1)];
    expect(first.request_counts.failed).to.be.at.least(200);
    expect(last.errors.data.map(({ code, line }: Json) => [code, line])).to.deep.equal([
      ["quota_exceeded", last.request_counts.failed + 1],
    ]);
  });

  it("ask a line again that may itself be at fault, however often it gave way before", async () => {
    const store = new BatchStore(prepareData(), 1);
    await using batches = apart(store);
    const once = { requestId: "r", status: 503, body: {} };
    const replies: LineReply[] = [
      ...Array.from({ length: 4 }, () => ({ ...once, again: { afterMs: 1, timesMax: Number.POSITIVE_INFINITY } })),
      ...Array.from({ length: 2 }, () => ({ ...once, again: { afterMs: 1, timesMax: 2 } })),
      good,
    ];
    const id = beginApart(batches, "app", [lineOf("a", "one")]);
    batches.start(new Map([[chat, { check: () => {}, ask: async () => replies.shift() }]]));
    await until(() => store.job("app", id).batch.status === "completed");
    expect(store.job("app", id).batch.request_counts).to.deep.equal({ total: 1, completed: 1, failed: 0 });
  });

  it("ask no line a second time because what came of it could not be stored", async () => {
    const store = new BatchStore(prepareData(), 1);
    await using batches = apart(store);
    const { record } = BatchStore.prototype;
    let tries = 0;
    const full = mock.method(BatchStore.prototype, "record", function (this: BatchStore, ...done: Parameters<typeof record>) {
      tries += 1;
      if (tries === 1) throw new Error("database or disk is full");
      record.apply(this, done);
    });
    try {
      let asked = 0;
      const ask = async (): Promise<LineReply> => {
        asked += 1;
        return good;
      };
      const id = beginApart(batches, "app", [lineOf("a", "one")]);
      batches.start(new Map([[chat, { check: () => {}, ask }]]));
      await until(() => store.job("app", id).batch.status === "completed");
      expect([asked, tries]).to.deep.equal([1, 2]);
    } finally {
      full.mock.restore();
    }
  });

  it("stop when their input is deleted", async () => {
    const batch = await begin(
      client,
      linesOf(40, prose(12)).map((line) => line.replace('"messages"', '"model":"slow","messages"')),
    );
    await until(async () => (await client.batches.retrieve(batch.id)).request_counts?.completed === 1);
    await client.files.delete(batch.input_file_id);
    const { status, errors } = await ended(client, batch);
    expect([status, errors?.data?.[0]?.code]).to.deep.equal(["failed", "file_not_found"]);
  });

  it("expire after a day, and files are gone after their retention", async () => {
    const dayMs = 86_400_000;
    const batch = await begin(client, [lineOf("a", "one"), lineOf("b", prose(150), { model: "slow" }), lineOf("c", "three")]);
    await until(async () => (await client.batches.retrieve(batch.id)).request_counts?.completed === 1);
    mock.timers.enable({ apis: ["Date"], now: Date.now() + dayMs });
    try {
      const after = await ended(client, batch);
      expect([after.status, after.request_counts]).to.deep.equal(["expired", { total: 3, completed: 1, failed: 2 }]);
      const errors = await resultsOf(client, after.error_file_id);
      expect(errors.map(({ custom_id, response, error }) => [custom_id, response, error.code])).to.deep.equal([
        ["b", null, "batch_expired"],
        ["c", null, "batch_expired"],
      ]);
      mock.timers.setTime(Date.now() + 30 * dayMs);
      expect((await failureOf(client.files.retrieve(batch.input_file_id))).status).to.equal(404);
      expect(await Array.fromAsync(client.files.list())).to.deep.equal([]);
    } finally {
      mock.timers.reset();
    }
  }).timeout(20_000);

  it("leave no plain text on the disk", async () => {
    const canary = "the zebra waltzes at noon";
    const batch = await ended(client, await begin(client, [lineOf("zebra-id", canary)]));
    expect((await resultsOf(client, batch.output_file_id))[0].response.body.choices[0].message.content).to.equal(canary);
    const files = readdirSync(appliance.config.dataDir).filter((name) => name.startsWith("batches.db"));
    expect(files).to.include("batches.db");
    for (const name of files) {
      const bytes = readFileSync(join(appliance.config.dataDir, name));
      for (const secret of [canary, "zebra-id", "SQLite format"]) expect(bytes.includes(secret), `${name}: ${secret}`).to.equal(false);
    }
  });

  it("stop, in the middle of a line too, when the certificate that asked for them is revoked", async () => {
    const batch = await begin(client, [lineOf("a", "one"), lineOf("b", prose(190), { model: "slow" }), lineOf("c", "three")]);
    await until(async () => (await client.batches.retrieve(batch.id)).request_counts?.completed === 1);
    revoke(appliance.certsDir, "app", "test");
    const entries = (kind: string): Json[] => entriesOf(appliance.config.dataDir).filter((one) => one.kind === kind);
    await until(() => entries("settled").at(-1).body.outcome === "cancelled");
    const before = entries("received").length;
    issueClient(appliance.certsDir, "app", "app");
    const dispatcher = clientAgent(appliance.certsDir, "app");
    const renewed = new OpenAI({ baseURL: `${appliance.url}/v1`, apiKey: "unused", fetchOptions: { dispatcher } });
    const after = await ended(renewed, batch);
    expect([after.status, after.errors?.data?.map(({ code, line }) => [code, line])]).to.deep.equal(["failed", [["identity_refused", 2]]]);
    expect((await resultsOf(renewed, after.output_file_id)).map(({ custom_id }) => custom_id)).to.deep.equal(["a"]);
    expect(entries("received").length).to.equal(before);
    await dispatcher.destroy();
  });
});

describe("a batch", () => {
  const slow = "models: [{ id: echo, engine: echo, token_delay_ms: 20 }]\n";
  const sdk = ({ url, agent }: Service): OpenAI =>
    new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0, fetchOptions: { dispatcher: agent } });

  it("goes on after kill -9, and after a stop: a line that was answered is not asked again, one that was running is", async () => {
    const dataDir = prepareData();
    let service = await startService(dataDir, slow);
    const batch = await begin(sdk(service), linesOf(8, prose(10)));
    const answered = async (): Promise<number> => (await sdk(service).batches.retrieve(batch.id)).request_counts?.completed ?? 0;
    for (const [signal, count] of [
      ["SIGKILL", 2],
      ["SIGTERM", 4],
    ] as const) {
      await until(async () => (await answered()) >= count);
      await service.end(signal);
      service = await startService(dataDir, slow);
      expect(await answered()).to.be.within(count, 7);
    }
    const after = await ended(sdk(service), batch);
    expect([after.status, after.request_counts]).to.deep.equal(["completed", { total: 8, completed: 8, failed: 0 }]);
    const results = await resultsOf(sdk(service), after.output_file_id);
    expect(results.map(({ custom_id }) => custom_id)).to.deep.equal(Array.from({ length: 8 }, (_, index) => `line-${index + 1}`));
    await service.end("SIGTERM");
    const outcomes = entriesOf(dataDir)
      .filter(({ kind }) => kind === "settled")
      .map(({ body }) => body.outcome);
    // A kill may come between an answer's entry and its line.
    expect(outcomes.filter((one) => one === "answered").length).to.be.within(8, 9);
    expect(outcomes).to.include("cancelled");
  }).timeout(60_000);

  it("keeps no call waiting: it gives its place to one that comes, and goes on when that is answered", async () => {
    const engine = await LlamaEngine.start(llamaSettings({ parallel: 1 }), 8);
    await using appliance = await startTestAppliance({ engines: [engine] });
    const client = appliance.openai();
    const batch = await begin(client, [lineOf("long", "Tell a long story.", { max_tokens: 150, temperature: 0, seed: 1 })]);
    const received = (): number => entriesOf(appliance.config.dataDir).filter(({ kind }) => kind === "received").length;
    await until(() => received() === 1);
    await pause(300);
    const reply = await appliance.call("POST", chat, { ...userSays("Say yes."), max_tokens: 2 });
    expect(reply.status).to.equal(200);
    expect((await client.batches.retrieve(batch.id)).status, "the line was not waited for").to.equal("in_progress");
    const after = await ended(client, batch, 30_000);
    const [answer] = await resultsOf(client, after.output_file_id);
    expect(answer.response.body.usage.completion_tokens).to.be.within(20, 150);
    const settled = entriesOf(appliance.config.dataDir).filter(({ kind }) => kind === "settled");
    expect(settled.map(({ body }) => body.code ?? body.outcome)).to.deep.equal(["gave_way", "answered", "answered"]);
  }).timeout(60_000);

  it("waits for its caller's quota beside others of the caller, and says of a line that is more than the quota that it is", async () => {
    const policy = "attempts_max: 1\nquota: { window: month, tokens_max: 1000 }\n";
    await using appliance = await startTestAppliance({ policy });
    const client = appliance.openai();
    expect((await appliance.call("POST", chat, { ...userSays(prose(100)), max_tokens: 100 })).status).to.equal(200);
    const waiting = await begin(client, [lineOf("never", "one", { max_tokens: 2_000 }), lineOf("later", "one", { max_tokens: 700 })]);
    await until(async () => (await client.batches.retrieve(waiting.id)).request_counts?.failed === 1);
    const other = await ended(client, await begin(client, [lineOf("now", "one", { max_tokens: 1 })]));
    expect(other.request_counts).to.deep.equal({ total: 1, completed: 1, failed: 0 });
    expect((await client.batches.retrieve(waiting.id)).status).to.equal("in_progress");
    await client.batches.cancel(waiting.id);
    const { error_file_id } = await ended(client, waiting);
    const errors = await resultsOf(client, error_file_id);
    expect(errors.map(({ custom_id, response, error }) => [custom_id, response?.body.error.code ?? error.code])).to.deep.equal([
      ["never", "quota_exceeded"],
      ["later", "batch_cancelled"],
    ]);
  });

  it("waits while calls wait, however long it has waited itself", async () => {
    const slots = new Slots(1, 10);
    const never = new AbortController().signal;
    const first = await slots.take("a", never);
    const order: string[] = [];
    const taking = [true, false, false].map(async (background, index) => {
      const place = await slots.take(`caller ${index}`, never, { background });
      order.push(background ? "batch" : "call");
      place.give();
    });
    first.give();
    await Promise.all(taking);
    expect(order).to.deep.equal(["call", "call", "batch"]);
  });
});
