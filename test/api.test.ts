import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { EchoEngine } from "../models/echo-engine.ts";
import { eventsOf, prose, startTestAppliance, type TestAppliance, userSays } from "./support/appliance.ts";
import { entriesOf } from "./support/entries.ts";

const chat = "/v1/chat/completions";

describe("the API", () => {
  let appliance: TestAppliance;
  before(async () => {
    appliance = await startTestAppliance({ engines: [new EchoEngine("echo"), new EchoEngine("second")] });
  });
  after(() => appliance[Symbol.asyncDispose]());

  it("lists the models, the first is the default", async () => {
    const { body } = await appliance.call("GET", "/v1/models");
    expect(body.object).to.equal("list");
    expect(body.data.map((one: { id: string }) => one.id)).to.deep.equal(["echo", "second"]);
    expect((await appliance.call("GET", "/v1/models/second")).body).to.include({ id: "second", object: "model", owned_by: "sallyport" });
    expect((await appliance.call("POST", chat, userSays("hello"))).body.model).to.equal("echo");
    expect((await appliance.call("POST", chat, { ...userSays("hello"), model: "second" })).body.model).to.equal("second");
  });

  it("answers a chat in OpenAI's shape", async () => {
    const { status, headers, body } = await appliance.call("POST", chat, userSays("one two three"));
    expect(status).to.equal(200);
    expect(headers["x-request-id"]).to.match(/^req-/u);
    expect(body).to.include({ object: "chat.completion", model: "echo" });
    expect(body.choices).to.deep.equal([
      { index: 0, message: { role: "assistant", content: "one two three", refusal: null }, logprobs: null, finish_reason: "stop" },
    ]);
    expect(body.usage).to.deep.equal({
      prompt_tokens: 3,
      completion_tokens: 3,
      total_tokens: 6,
      prompt_tokens_details: { cached_tokens: 0 },
    });
  });

  it("streams the same answer in OpenAI's chunks, with usage when asked", async () => {
    const { headers, text } = await appliance.call("POST", chat, {
      ...userSays("one two three"),
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(headers["content-type"]).to.match(/^text\/event-stream/u);
    expect(text).to.match(/data: \[DONE\]\n\n$/u);
    const chunks = eventsOf(text);
    expect(chunks[0].choices[0].delta).to.deep.equal({ role: "assistant", content: "", refusal: null });
    expect(chunks.map((one) => one.choices[0]?.delta.content ?? "").join("")).to.equal("one two three");
    expect(chunks.at(-2).choices[0].finish_reason).to.equal("stop");
    expect(chunks.at(-1)).to.deep.include({
      choices: [],
      usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6, prompt_tokens_details: { cached_tokens: 0 } },
    });
    expect(new Set(chunks.map((one) => one.id)).size).to.equal(1);
  });

  it("lets a text go on in OpenAI's older shape, through both gates", async () => {
    const prompt = "My card is 4111 1111 1111 1111";
    const { body } = await appliance.call("POST", "/v1/completions", { prompt, seed: 3 });
    expect(body).to.include({ object: "text_completion", model: "echo" });
    expect(body.choices).to.deep.equal([{ index: 0, text: prompt, logprobs: null, finish_reason: "stop" }]);
    const { text } = await appliance.call("POST", "/v1/completions", { prompt, stream: true, stream_options: { include_usage: true } });
    const chunks = eventsOf(text);
    expect(chunks.map((one) => one.choices[0]?.text ?? "").join("")).to.equal(prompt);
    expect(chunks.at(-1).usage).to.include({ prompt_tokens: 4, completion_tokens: 4 });
    expect(text).to.match(/data: \[DONE\]\n\n$/u);
    const long = await appliance.call("POST", "/v1/completions", { prompt: prose(40) });
    expect([long.body.usage.completion_tokens, long.body.choices[0].finish_reason]).to.deep.equal([16, "length"]);
    const blocked = await appliance.call("POST", "/v1/completions", { prompt: "\b".repeat(50), stream: true });
    expect([blocked.status, blocked.body.error.code]).to.deep.equal([400, "control_characters"]);
    const records = entriesOf(appliance.config.dataDir).filter((one) => one.kind === "received");
    expect(records.at(-1)?.body).to.deep.include({ endpoint: "completions", decision: "block" });
  });

  it("ends at a stop text, at either limit of tokens, and joins text parts", async () => {
    const ending = async (more: object): Promise<unknown[]> => {
      const { body } = await appliance.call("POST", chat, { ...userSays("one two three"), ...more });
      return [body.choices[0].message.content, body.choices[0].finish_reason];
    };
    expect(await ending({ stop: " tw" })).to.deep.equal(["one", "stop"]);
    expect(await ending({ stop: ["x", "three"] })).to.deep.equal(["one two ", "stop"]);
    expect(await ending({ max_tokens: 2 })).to.deep.equal(["one two", "length"]);
    expect(await ending({ max_completion_tokens: 1 })).to.deep.equal(["one", "length"]);
    const parts = [
      { type: "text", text: "a " },
      { type: "text", text: "b" },
    ];
    expect(await ending({ messages: [{ role: "user", content: parts }] })).to.deep.equal(["a b", "stop"]);
  });

  it("masks personal data on the way in and restores it on the way out, streaming and not; no log holds a digit of it", async () => {
    const card = "4111 1111 1111 1111";
    const prompt = userSays(`My card is ${card}, mail bob@example.org.`);
    const { body } = await appliance.call("POST", chat, prompt);
    expect(body.choices[0].message.content).to.equal(`My card is ${card}, mail bob@example.org.`);
    const { text } = await appliance.call("POST", chat, { ...prompt, stream: true });
    expect(
      eventsOf(text)
        .map((one) => one.choices[0].delta.content ?? "")
        .join(""),
    ).to.equal(`My card is ${card}, mail bob@example.org.`);
    const database = readFileSync(join(appliance.config.dataDir, "audit.db"), "latin1");
    for (const secret of [card, "4111", "bob@example"]) expect(database).to.not.include(secret);
  });

  it("shows the model placeholders only", async () => {
    const shown: object[] = [];
    class Listening extends EchoEngine {
      override generate(...asked: Parameters<EchoEngine["generate"]>): ReturnType<EchoEngine["generate"]> {
        shown.push(asked[0]);
        return super.generate(...asked);
      }
    }
    await using listening = await startTestAppliance({ engines: [new Listening("echo")] });
    await listening.call("POST", chat, { ...userSays("I am bob@example.org, ok"), seed: 3, user: "bob", stop: "bob" });
    expect(JSON.stringify(shown)).to.match(
      /^\[\{"turns":\[\{"role":"user","text":"I am <EMAIL_1_\w{6}>, ok"\}\],"identity":"app","seed":3\}\]$/u,
    );
  });

  it("takes names of who speaks, which are judged and which the model reads, and nothing for null", async () => {
    const spoken = await appliance.call("POST", "/v1/chat/completions", {
      messages: [
        {
          role: "assistant",
          content: "Hi",
          name: "ann",
          annotations: null,
          audio: null,
          function_call: null,
          refusal: null,
          tool_calls: null,
        },
        { role: "tool", tool_call_id: "c", name: "stock", content: "17" },
        { role: "user", name: "alice", content: "Hello" },
      ],
      user: null,
      model: null,
      documents: null,
      store: null,
      service_tier: null,
      metadata: null,
      top_p: 0,
      modalities: ["text"],
      stream_options: { include_obfuscation: false, include_usage: null },
    });
    expect(spoken.body.choices?.[0].message.content, spoken.text).to.equal("alice: Hello");
    const input = [{ role: "user", name: "4111-1111-1111-1111", content: "Hello" }];
    const { body } = await appliance.call("POST", "/v1/guard/check", { input });
    expect(body.findings[0].span).to.deep.equal({ start: 0, end: 19, part: "name" });
  });

  it("looks for stop texts in the answer as its caller reads it, not in placeholders", async () => {
    const ending = async (stop: string, stream: boolean): Promise<string> => {
      const { body, text } = await appliance.call("POST", chat, { ...userSays("mail bob@example.org or_so, now"), stop, stream });
      if (!stream) return `${body.choices[0].message.content}|${body.choices[0].finish_reason}`;
      const chunks = eventsOf(text);
      return `${chunks.map((one) => one.choices[0].delta.content ?? "").join("")}|${chunks.at(-1).choices[0].finish_reason}`;
    };
    for (const stream of [false, true]) {
      expect(await ending("_", stream)).to.equal("mail bob@example.org or|stop");
      expect(await ending("example", stream)).to.equal("mail bob@|stop");
      expect(await ending("org or", stream)).to.equal("mail bob@example.|stop");
      expect(await ending("EMAIL", stream)).to.equal("mail bob@example.org or_so, now|stop");
    }
  });

  it("says what the guards find, without generating", async () => {
    const { body } = await appliance.call("POST", "/v1/guard/check", { input: "call bob@example.org", origin: "document" });
    expect(body).to.deep.include({ object: "guard.check", flagged: true, blocked: false, code: null });
    expect(body.findings_total).to.equal(1);
    expect(body.findings).to.deep.equal([
      {
        guard: "personal_data",
        label: "EMAIL",
        score: 1,
        threshold: 1,
        span: { start: 5, end: 20 },
        message: 0,
        origin: "document",
        action: "rewrite",
      },
    ]);
    const hidden = await appliance.call("POST", "/v1/guard/check", { input: [{ role: "user", content: `a${"\b".repeat(50)}` }] });
    expect(hidden.body).to.deep.include({ flagged: true, blocked: true, code: "control_characters" });
  });

  it("refuses a blocked prompt with the guard's code and findings, never its text", async () => {
    const { status, body, text } = await appliance.call("POST", chat, userSays(`canary ${"\b".repeat(50)}`));
    expect(status).to.equal(400);
    expect(body.error).to.include({ type: "guard_refusal", code: "control_characters", param: null });
    expect(body.error.findings[0]).to.deep.include({ guard: "control_characters", span: { start: 7, end: 57 }, action: "block" });
    expect(text).to.not.include("canary");
    const streamed = await appliance.call("POST", chat, { ...userSays("\b".repeat(50)), stream: true });
    expect(streamed.status).to.equal(400);
  });

  const refused: readonly (readonly [what: string, body: unknown, code: string, param: string | null])[] = [
    ["an unknown parameter", { ...userSays("a"), tempretaure: 1 }, "unknown_parameter", "tempretaure"],
    ["a parameter it does not honour", { ...userSays("a"), service_tier: "flex" }, "unsupported_parameter", "service_tier"],
    ["more than four answers", { ...userSays("a"), n: 5 }, "invalid_value", "n"],
    ["a penalty out of range", { ...userSays("a"), presence_penalty: 3 }, "invalid_value", "presence_penalty"],
    ["a format it does not know", { ...userSays("a"), response_format: { type: "grammar" } }, "invalid_value", "response_format.type"],
    ["a temperature out of range", { ...userSays("a"), temperature: 2.1 }, "invalid_value", "temperature"],
    ["no messages", {}, "missing_parameter", "messages"],
    ["an empty conversation", { messages: [] }, "invalid_value", "messages"],
    ["a tool's result that names no call", { messages: [{ role: "tool", content: "a" }] }, "missing_parameter", "messages[0].tool_call_id"],
    ["a role it does not know", { messages: [{ role: "wizard", content: "a" }] }, "invalid_value", "messages[0].role"],
    [
      "an image",
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: {} }] }] },
      "invalid_value",
      "messages[0].content[0].type",
    ],
    ["a model that is not there", { ...userSays("a"), model: "gpt-9" }, "model_not_found", "model"],
    ["two limits that differ", { ...userSays("a"), max_tokens: 1, max_completion_tokens: 2 }, "invalid_value", "max_tokens"],
    ["a list", [], "invalid_value", null],
    ["half a body", '{"messages": [', "invalid_json", null],
    ["a body that is not UTF-8", Buffer.from([0x22, 0xff, 0x22]), "invalid_json", null],
    ["a body that is too deep", `${"[".repeat(33)}${"]".repeat(33)}`, "invalid_json", null],
    ["an empty body", "", "invalid_json", null],
  ];
  for (const [what, body, code, param] of refused) {
    it(`refuses ${what} by name`, async () => {
      const reply = await appliance.call("POST", chat, body);
      expect(reply.status).to.be.within(400, 404);
      expect(reply.body.error).to.include({ type: "invalid_request_error", code, param });
      expect(reply.body.error.message).to.match(/\.$/u);
    });
  }

  it("takes a body of exactly the limit, and none of a byte more", async () => {
    const { body_bytes_max: max } = appliance.config.limits;
    const words = Array.from({ length: max / 4 }, (_, index) => index.toString(36)).join(" ");
    const bodyOf = (bytes: number): string => `{"input":"${words.slice(0, bytes - '{"input":""}'.length)}"}`;
    const taken = await appliance.call("POST", "/v1/guard/check", bodyOf(max));
    expect([taken.status, taken.body.code]).to.deep.equal([200, "too_long_to_judge"]);
    const { status, body } = await appliance.call("POST", "/v1/guard/check", bodyOf(max + 1));
    expect([status, body.error.code]).to.deep.equal([413, "body_too_large"]);
  });

  it("takes as many messages as the limit, and none more", async () => {
    const { messages_max: max } = appliance.config.limits;
    const many = (count: number): object => ({ messages: Array.from({ length: count }, () => ({ role: "user", content: "a" })) });
    expect((await appliance.call("POST", chat, many(max))).status).to.equal(200);
    const { status, body } = await appliance.call("POST", chat, many(max + 1));
    expect([status, body.error.code, body.error.param]).to.deep.equal([400, "invalid_value", "messages"]);
    const check = { input: (many(max + 1) as { messages: object[] }).messages };
    expect((await appliance.call("POST", "/v1/guard/check", check)).body.error).to.include({ code: "invalid_value", param: "input" });
  });

  it("tells the first thousand of a hundred thousand findings, and how many there are", async () => {
    const policy = "input: { tokens_max: 1000000, injection: off, delicate: off, personal_data: off }\n";
    await using wide = await startTestAppliance({ policy });
    const { status, body } = await wide.call("POST", "/v1/guard/check", {
      input: Array.from({ length: 100_000 }, (_, index) => `${index}\u200b`).join(""),
    });
    expect([status, body.findings.length, body.findings_total]).to.deep.equal([200, 1_000, 100_000]);
  });

  it("answers unknown paths, methods, types and encodings as errors of its own", async () => {
    for (const path of ["/v2/models", "/v1/models/%ff"]) expect((await appliance.call("GET", path)).body.error.code).to.equal("not_found");
    const wrong = await appliance.call("DELETE", chat);
    expect([wrong.status, wrong.headers.allow, wrong.body.error.code]).to.deep.equal([405, "POST", "method_not_allowed"]);
    const form = await appliance.call("POST", chat, "a=1", { headers: { "content-type": "application/x-www-form-urlencoded" } });
    expect([form.status, form.body.error.code]).to.deep.equal([415, "unsupported_media_type"]);
    const zipped = await appliance.call("POST", chat, "{}", { headers: { "content-encoding": "gzip" } });
    expect(zipped.body.error.code).to.equal("unsupported_media_type");
  });

  it("lets every role ask for health, and only app and operator call models", async () => {
    for (const as of ["app", "operator", "auditor"]) {
      expect((await appliance.call("GET", "/healthz", undefined, { as })).body).to.deep.equal({ status: "ok" });
      expect((await appliance.call("GET", "/readyz", undefined, { as })).status).to.equal(200);
      const allowed = as !== "auditor";
      for (const [method, path, body] of [
        ["GET", "/v1/models", undefined],
        ["POST", chat, userSays("a")],
        ["POST", "/v1/guard/check", { input: "a" }],
      ] as const) {
        const reply = await appliance.call(method, path, body, { as });
        expect(reply.status, `${as} ${path}`).to.equal(allowed ? 200 : 403);
        if (!allowed)
          expect(reply.body.error.message).to.equal("The role of this certificate is auditor, and this is for app and operator.");
      }
    }
  });

  it("believes no header about who calls", async () => {
    const headers = { "x-forwarded-for": "10.0.0.1", "x-role": "operator", authorization: "Bearer operator" };
    expect((await appliance.call("GET", "/v1/models", undefined, { as: "auditor", headers })).status).to.equal(403);
  });

  it("sends the headers of a service that browsers should not touch", async () => {
    const { headers } = await appliance.call("GET", "/healthz");
    expect(headers["x-powered-by"]).to.equal(undefined);
    expect(headers["strict-transport-security"]).to.be.a("string");
    expect(headers["x-content-type-options"]).to.equal("nosniff");
  });
});
