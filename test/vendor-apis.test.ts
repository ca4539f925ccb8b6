import Anthropic from "@anthropic-ai/sdk";
import { expect } from "chai";
import type OpenAI from "openai";
import { EchoEngine } from "../models/echo-engine.ts";
import { LlamaEngine } from "../models/llama-engine.ts";
import { type Json, startTestAppliance, type TestAppliance } from "./support/appliance.ts";
import { llamaSettings } from "./support/model.ts";

const call = '<tool_call>{"name": "stock", "arguments": {"part": "A7"}}</tool_call>';
const parameters = { type: "object" as const, properties: { part: { type: "string" } }, required: ["part"] };
const card = "Pay with 4111 1111 1111 1111, please.";

describe("the vendors' other APIs, with their own SDKs", function () {
  this.timeout(60_000);
  let appliance: TestAppliance;
  let openai: OpenAI;
  let anthropic: Anthropic;
  before(async () => {
    const llama = await LlamaEngine.start(llamaSettings(), 64);
    appliance = await startTestAppliance({ engines: [new EchoEngine("echo"), llama] });
    openai = appliance.openai();
    anthropic = new Anthropic({ baseURL: appliance.url, apiKey: "unused", maxRetries: 0, fetchOptions: { dispatcher: appliance.agent() } });
  });
  after(() => appliance[Symbol.asyncDispose]());

  describe("/v1/responses", () => {
    it("answers, with the caller's own values, and says what it used", async () => {
      const answer = await openai.responses.create({ model: "echo", instructions: "Be brief.", input: card });
      expect([answer.output_text, answer.status, (answer as Json).store]).to.deep.equal([card, "completed", false]);
      expect(answer.usage?.total_tokens).to.equal((answer.usage?.input_tokens ?? 0) + (answer.usage?.output_tokens ?? 0));
      const cut = await openai.responses.create({ model: "echo", input: card, max_output_tokens: 2 });
      expect([cut.status, cut.incomplete_details?.reason]).to.deep.equal(["incomplete", "max_output_tokens"]);
    });

    it("streams events that the SDK puts together to the same answer", async () => {
      const stream = openai.responses.stream({
        model: "smollm2-135m-instruct",
        input: "What is the capital of France?",
        max_output_tokens: 24,
        temperature: 0,
      });
      const types: string[] = [];
      let text = "";
      let last = -1;
      for await (const event of stream) {
        types.push(event.type);
        last += 1;
        expect(event.sequence_number).to.equal(last);
        if (event.type === "response.output_text.delta") text += event.delta;
      }
      const final = await stream.finalResponse();
      expect(final.output_text).to.equal(text).and.to.include("Paris");
      expect(types.slice(0, 4)).to.deep.equal([
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
      ]);
      expect(types.at(-1)).to.match(/^response\.(?:completed|incomplete)$/u);
    });

    it("calls functions and goes on with what they return", async () => {
      const asked = { model: "echo", tools: [{ type: "function" as const, name: "stock", parameters, strict: false }] };
      const first = await openai.responses.create({ ...asked, input: `Look: ${call}` });
      const made = first.output.find((one) => one.type === "function_call");
      expect([made?.name, made?.arguments]).to.deep.equal(["stock", '{"part":"A7"}']);
      const input: Json = [
        { role: "user" as const, content: "Look." },
        ...first.output,
        { type: "function_call_output" as const, call_id: made?.call_id ?? "", output: "Seventeen left." },
      ];
      const second = await openai.responses.create({ ...asked, input });
      expect(second.output_text).to.include("Seventeen left.");
      const streamed: string[] = [];
      for await (const event of openai.responses.stream({ ...asked, input: call })) {
        if (event.type === "response.function_call_arguments.done") streamed.push(event.arguments);
      }
      expect(streamed).to.deep.equal(['{"part":"A7"}']);
    });

    it("takes an answer back as the SDKs give it", async () => {
      const asked = { model: "echo", tools: [{ type: "function" as const, name: "stock", parameters, strict: false }] };
      const { output } = await openai.responses.stream({ ...asked, input: `Look: ${call}` }).finalResponse();
      expect(output).to.have.nested.property("[0].content[0].parsed");
      expect(output[1]).to.have.property("parsed_arguments");
      // Python's `model_dump` names every field that it knows.
      const dumped = output.map((one) => ({ ...one, phase: null, caller: null, namespace: null }));
      const back: Json = [
        { role: "user", content: "Look." },
        ...dumped,
        { type: "function_call_output", call_id: Object(output[1]).call_id, output: "Seventeen left." },
      ];
      expect((await openai.responses.create({ ...asked, input: back })).output_text).to.include("Seventeen left.");
    });

    it("says that an item is to be sent whole", async () => {
      const input: Json = [
        { role: "user", content: "Look." },
        { type: "item_reference", id: "msg_1" },
      ];
      const refused: Json = await openai.responses.create({ model: "echo", input }).catch((error: unknown) => error);
      expect(refused.param).to.equal("input[1].type");
      expect(refused.message).to.include("sent whole");
    });

    it("takes what a tool returned as parts, and what asks for nothing", async () => {
      const input = [
        { role: "user" as const, content: "Look." },
        { type: "function_call" as const, call_id: "c", name: "stock", arguments: "{}" },
        { type: "function_call_output" as const, call_id: "c", output: [{ type: "input_text" as const, text: "Seventeen left." }] },
      ];
      const nothing = {
        include: null,
        previous_response_id: null,
        service_tier: null,
        tools: [],
        metadata: null,
        tool_choice: "auto" as const,
        parallel_tool_calls: false,
      };
      const answer = await openai.responses.create({ model: "echo", input, ...nothing, store: false, truncation: "disabled" });
      expect(answer.output_text).to.include("Seventeen left.");
      expect((await openai.responses.create({ model: "echo", input: "a", include: [] })).status).to.equal("completed");
    });

    it("says where something stands in the request as it was sent", async () => {
      const refused = async (asked: object): Promise<Json> =>
        await openai.responses.create({ model: "echo", input: "a", ...asked }).catch((error: unknown) => error);
      const file = { type: "input_file", file_data: `data:application/pdf;base64,${Buffer.from("%PDF").toString("base64")}` };
      const unreadable = await refused({ instructions: "Be brief.", input: [{ role: "user", content: [file] }] });
      expect(unreadable.param).to.equal("input[0].content[0].file");
      const hostile = await refused({ instructions: "Be brief.", input: `Hello ${"\b".repeat(50)}` });
      expect(hostile.error.findings[0].message).to.equal(0);
      const items = [
        { role: "user", content: "Look." },
        { role: "assistant", content: "Sure." },
        { type: "function_call", call_id: "c", name: "f", arguments: JSON.stringify({ a: "\b".repeat(50) }) },
        { type: "function_call_output", call_id: "c", output: "Well." },
      ];
      expect((await refused({ input: items })).error.findings[0].message).to.equal(2);
      const both = { tools: [{ type: "function", name: "f" }], text: { format: { type: "json_object" } } };
      expect((await refused(both)).param).to.equal("text");
      const wrong = { type: "json_schema", name: "a", schema: { type: "objekt" } };
      expect((await refused({ text: { format: wrong } })).param).to.equal("text.format.schema");
      expect((await refused({ tools: [{ type: "function", name: "f", parameters: { type: "array" } }] })).param).to.equal(
        "tools[0].parameters",
      );
      const long = await refused({ model: "smollm2-135m-instruct", max_output_tokens: 100_000 });
      expect([long.code, long.param]).to.deep.equal(["context_length_exceeded", "input"]);
    });

    it("gives JSON in a shape, and refuses what it does not keep", async () => {
      const schema = {
        type: "object",
        properties: { city: { type: "string", maxLength: 20 } },
        required: ["city"],
        additionalProperties: false,
      };
      const answer = await openai.responses.create({
        model: "smollm2-135m-instruct",
        input: "Name a capital.",
        text: { format: { type: "json_schema", name: "capital", schema, strict: true } },
      });
      expect(JSON.parse(answer.output_text)).to.have.all.keys("city");
      for (const more of [{ previous_response_id: "resp_1" }, { store: true }, { background: true }]) {
        const refused = await openai.responses.create({ model: "echo", input: "a", ...more }).catch((error: unknown) => error);
        expect(refused).to.include({ status: 400, param: Object.keys(more)[0] });
      }
    });
  });

  describe("counts", () => {
    const model = "smollm2-135m-instruct";
    const messages = [{ role: "user" as const, content: "How many words are in this question?" }];
    const rivers =
      "What are the longest rivers of Norway, France, Peru and Japan, and through which towns do they run before they reach the sea?";

    it("of Anthropic's SDK are what the answer's usage says", async () => {
      const asked = {
        model,
        system: "Be brief.",
        messages,
        tools: [{ name: "stock", description: "How many are left", input_schema: parameters }],
      };
      const { input_tokens } = await anthropic.messages.countTokens(asked);
      const { usage } = await anthropic.messages.create({ ...asked, max_tokens: 1 });
      expect(usage.input_tokens + (usage.cache_read_input_tokens ?? 0)).to.equal(input_tokens);
      const more = await anthropic.messages.countTokens({ ...asked, messages: [{ role: "user", content: rivers }] });
      expect(more.input_tokens).to.be.greaterThan(input_tokens + 10);
    });

    it("of OpenAI's SDK are what the answer's usage says", async () => {
      const asked = { model, instructions: "Be brief.", input: "How many words are in this question?" };
      const counted = await openai.responses.inputTokens.count(asked);
      const { usage } = await openai.responses.create({ ...asked, max_output_tokens: 1 });
      expect(counted).to.deep.equal({ object: "response.input_tokens", input_tokens: usage?.input_tokens });
    });

    it("of a text are the numbers that the model reads, which logit_bias takes", async () => {
      const { body } = await appliance.call("POST", "/v1/tokenize", { model, prompt: " Paris" });
      const { usage } = await openai.completions.create({ model, prompt: " Paris", max_tokens: 1 });
      expect([body.count, body.tokens.length, body.max_model_len]).to.deep.equal([
        usage?.prompt_tokens,
        usage?.prompt_tokens,
        llamaSettings().contextTokens,
      ]);
      const said = async (logit_bias: Record<string, number>): Promise<string> => {
        const asked = {
          model,
          messages: [{ role: "user" as const, content: "What is the capital of France?" }],
          max_tokens: 12,
          temperature: 0,
        };
        const answer = await openai.chat.completions.create({ ...asked, logit_bias });
        return answer.choices[0]?.message.content ?? "";
      };
      expect(await said({})).to.include(" Paris");
      expect(await said({ [body.tokens[0]]: -100 })).not.to.include(" Paris");
    });

    it("are judged, bounded by the policy, and refused in the vendor's shape", async () => {
      const hostile = `Hello ${"\b".repeat(50)}`;
      const asked = { model, messages: [{ role: "user" as const, content: hostile }] };
      const refused = await anthropic.messages.countTokens(asked).catch((error: unknown) => error);
      expect(refused).to.have.nested.property("error.error.code", "control_characters");
      const text = await appliance.call("POST", "/v1/tokenize", { model, prompt: hostile });
      expect([text.status, text.body.error.code]).to.deep.equal([400, "control_characters"]);
      const missing = await appliance.call("POST", "/v1/tokenize", { model: "none", prompt: "a" });
      expect([missing.status, missing.body.error.code]).to.deep.equal([404, "model_not_found"]);
    });

    it("go on while every place is taken", async () => {
      const stop = new AbortController();
      const streams = Array.from({ length: 8 }, async () => {
        const stream = await openai.chat.completions.create(
          { model, messages: [{ role: "user", content: "Count to a thousand." }], stream: true, max_tokens: 400 },
          { signal: stop.signal },
        );
        for await (const _ of stream);
      });
      const { input_tokens } = await anthropic.messages.countTokens({ model, messages });
      stop.abort();
      await Promise.allSettled(streams);
      expect(input_tokens).to.be.greaterThan(5);
    });
  });

  describe("/v1/messages", () => {
    it("answers, with the caller's own values, and says what it used and why it ended", async () => {
      const answer = await anthropic.messages.create({
        model: "echo",
        max_tokens: 100,
        system: "Be brief.",
        messages: [{ role: "user", content: card }],
      });
      expect(answer.content).to.deep.equal([{ type: "text", text: card, citations: null }]);
      expect([answer.stop_reason, answer.usage.output_tokens]).to.deep.equal(["end_turn", 4]);
      const cut = await anthropic.messages.create({ model: "echo", max_tokens: 2, messages: [{ role: "user", content: card }] });
      expect(cut.stop_reason).to.equal("max_tokens");
      const stopped = await anthropic.messages.create({
        model: "echo",
        max_tokens: 9,
        stop_sequences: ["please"],
        messages: [{ role: "user", content: card }],
      });
      expect([stopped.stop_reason, stopped.stop_sequence]).to.deep.equal(["stop_sequence", "please"]);
    });

    it("streams events that the SDK puts together to the same answer", async () => {
      const asked = {
        model: "smollm2-135m-instruct",
        max_tokens: 24,
        temperature: 0,
        messages: [{ role: "user" as const, content: "What is the capital of France?" }],
      };
      const stream = anthropic.messages.stream(asked);
      let text = "";
      stream.on("text", (delta) => {
        text += delta;
      });
      const final = await stream.finalMessage();
      expect(final.content).to.deep.equal([{ type: "text", text, citations: null }]);
      expect(text).to.include("Paris");
      expect(final.usage.output_tokens).to.be.greaterThan(3);
    });

    it("says at once in a stream how long the prompt is", async () => {
      const asked = { model: "smollm2-135m-instruct", max_tokens: 3, messages: [{ role: "user" as const, content: "Hello." }] };
      const told: number[] = [];
      for await (const event of anthropic.messages.stream(asked)) {
        const usage = event.type === "message_start" ? event.message.usage : event.type === "message_delta" ? event.usage : undefined;
        if (usage !== undefined) told.push((usage.input_tokens ?? 0) + (usage.cache_read_input_tokens ?? 0));
      }
      expect(told).to.have.lengthOf(2);
      expect(told[0]).to.equal(told[1]).and.to.be.greaterThan(3);
    });

    it("takes `max_tokens` as an upper bound, whatever the context leaves", async () => {
      const { contextTokens = 0 } = llamaSettings();
      const asked = { model: "smollm2-135m-instruct", max_tokens: contextTokens, stop_sequences: [" "] };
      const answer = await anthropic.messages.create({ ...asked, messages: [{ role: "user", content: "Say a b c." }] });
      expect(answer.stop_reason).to.equal("stop_sequence");
    });

    it("takes system text between messages, and hints on tools, and refuses an answer to go on with", async () => {
      const user = { role: "user" as const, content: "Hi" };
      const french = { role: "system" as const, content: "From now on answer in French." };
      const tool = { name: "stock", input_schema: parameters, strict: false, eager_input_streaming: true };
      const messages = [user, { role: "assistant" as const, content: "Hello." }, french, user];
      const answer = await anthropic.messages.create({ model: "echo", max_tokens: 9, tools: [tool], messages });
      expect(answer.content).to.deep.equal([{ type: "text", text: "Hi", citations: null }]);
      const prefill = { model: "echo", max_tokens: 9, messages: [user, { role: "assistant" as const, content: "The best answer is (" }] };
      const refused = await anthropic.messages.create(prefill).catch((error: unknown) => error);
      expect(refused).to.be.instanceOf(Anthropic.BadRequestError);
      expect(String(refused)).to.include("`messages`");
      expect((await anthropic.messages.countTokens({ model: "echo", messages: prefill.messages })).input_tokens).to.be.greaterThan(0);
    });

    it("goes on behind an answer that said nothing, and takes what asks for nothing", async () => {
      const user = { role: "user" as const, content: "Hi" };
      const answer = await anthropic.messages.create({
        model: "echo",
        max_tokens: 9,
        messages: [user, { role: "assistant", content: [] }, user],
        stop_sequences: Array.from({ length: 16 }, (_, index) => `END${index}`),
        thinking: { type: "disabled" },
        cache_control: { type: "ephemeral" },
        tools: [],
        tool_choice: { type: "auto", disable_parallel_tool_use: true },
      });
      expect(answer.content).to.deep.equal([{ type: "text", text: "Hi", citations: null }]);
    });

    it("gives JSON in a shape", async () => {
      const schema = {
        type: "object" as const,
        properties: { city: { type: "string", maxLength: 20 } },
        required: ["city"],
        additionalProperties: false as const,
      };
      const asked = { model: "smollm2-135m-instruct", max_tokens: 60, messages: [{ role: "user" as const, content: "Name a capital." }] };
      const answer = await anthropic.messages.parse({ ...asked, output_config: { format: { type: "json_schema", schema } } });
      expect(answer.parsed_output).to.have.all.keys("city");
      const wrong = { type: "json_schema" as const, schema: { type: "objekt" } };
      const refused: Json = await anthropic.messages
        .create({ ...asked, output_config: { format: wrong } })
        .catch((error: unknown) => error);
      expect(refused.error.error.param).to.equal("output_config.format.schema");
    });

    it("lets the SDK run tools itself, which then sends the conversation whole", async () => {
      const asked: unknown[] = [];
      const stock = {
        name: "stock",
        description: "How many are left",
        input_schema: parameters,
        parse: (given: unknown) => given,
        run: (given: unknown) => {
          asked.push(given);
          return "Seventeen left.";
        },
      };
      const tools: Json = [stock];
      const messages = [{ role: "user" as const, content: `Look: ${call}` }];
      const last = await anthropic.beta.messages.toolRunner({ model: "echo", max_tokens: 100, tools, messages });
      expect(last.content[0]).to.have.property("text").that.includes("Seventeen left.");
      expect(asked).to.deep.equal([{ part: "A7" }]);
    });

    it("uses tools and goes on with what they return", async () => {
      const asked = {
        model: "echo",
        max_tokens: 100,
        tools: [{ name: "stock", description: "How many are left", input_schema: parameters }],
      };
      const first = await anthropic.messages.create({ ...asked, messages: [{ role: "user", content: `Look: ${call}` }] });
      const used = first.content.find((block) => block.type === "tool_use");
      expect([first.stop_reason, used?.name, used?.input]).to.deep.equal(["tool_use", "stock", { part: "A7" }]);
      const second = await anthropic.messages.create({
        ...asked,
        messages: [
          { role: "user", content: "Look." },
          { role: "assistant", content: first.content },
          { role: "user", content: [{ type: "tool_result", tool_use_id: used?.id ?? "", content: "Seventeen left.", is_error: true }] },
        ],
      });
      expect(second.content[0]).to.have.property("text").that.includes("Error: Seventeen left.");
      const streamed = await anthropic.messages.stream({ ...asked, messages: [{ role: "user", content: `Look: ${call}` }] }).finalMessage();
      const again = streamed.content.find((block) => block.type === "tool_use");
      expect([again?.input, again?.caller, streamed.content[0]?.type]).to.deep.equal([{ part: "A7" }, { type: "direct" }, "text"]);
      const third = await anthropic.messages.create({
        ...asked,
        messages: [
          { role: "user", content: "Look." },
          { role: "assistant", content: streamed.content },
          { role: "user", content: [{ type: "tool_result", tool_use_id: again?.id ?? "", content: "Eighteen left." }] },
        ],
      });
      expect(third.content[0]).to.have.property("text").that.includes("Eighteen left.");
    });

    it("keeps in a stream what a person must confirm first, and goes on with it", async () => {
      await using held = await startTestAppliance({ policy: "tools: { rules: [{ names: [stock], confirm: always }] }\n" });
      const client = new Anthropic({ baseURL: held.url, apiKey: "unused", maxRetries: 0, fetchOptions: { dispatcher: held.agent() } });
      const asked = {
        model: "echo",
        max_tokens: 100,
        tools: [{ name: "stock", input_schema: parameters }],
        messages: [{ role: "user" as const, content: call }],
      };
      const final: Json = await client.messages.stream(asked).finalMessage();
      const { guard, ...details } = final.stop_details;
      expect(final.stop_reason).to.equal("refusal");
      expect(details).to.deep.equal({ type: "refusal", category: null, explanation: guard.message });
      expect([guard.code, guard.held[0].name, guard.held[0].arguments]).to.deep.equal(["tool_confirmation", "stock", '{"part":"A7"}']);
      const confirmed = { ...asked, tool_confirmations: [guard.held[0].confirmation] };
      const gone = await client.messages.stream(confirmed).finalMessage();
      expect([gone.stop_reason, gone.stop_details, gone.content.at(-1)?.type]).to.deep.equal(["tool_use", null, "tool_use"]);
      const whole: Json = await client.messages.create(asked);
      expect([whole.stop_details.guard.code, whole.guard.code]).to.deep.equal(["tool_confirmation", "tool_confirmation"]);
      expect((await client.messages.create(confirmed)).stop_details).to.equal(null);
    });

    it("raises the SDK's own errors for ours", async () => {
      const asked = { model: "echo", max_tokens: 9, messages: [{ role: "user" as const, content: "a" }] };
      const bad = await anthropic.messages.create({ ...asked, service_tier: "auto" }).catch((error: unknown) => error);
      expect(bad).to.be.instanceOf(Anthropic.BadRequestError);
      expect(String(bad)).to.include("service_tier");
      const missing = await anthropic.messages.create({ ...asked, model: "claude-9" }).catch((error: unknown) => error);
      expect(missing).to.be.instanceOf(Anthropic.NotFoundError);
      const hostile = await anthropic.messages
        .create({ ...asked, messages: [{ role: "user", content: `Hello ${"\b".repeat(50)}` }] })
        .catch((error: unknown) => error);
      expect(hostile).to.have.nested.property("error.error.code", "control_characters");
      const beside: Json = await anthropic.messages
        .create({ ...asked, system: "Be brief.", messages: [{ role: "user", content: `Hello ${"\b".repeat(50)}` }] })
        .catch((error: unknown) => error);
      expect(beside.error.error.findings[0].message).to.equal(0);
      const schema: Json = await anthropic.messages
        .create({ ...asked, tools: [{ name: "f", input_schema: { type: "array" } as Json }] })
        .catch((error: unknown) => error);
      expect(schema.error.error.param).to.equal("tools[0].input_schema");
      expect([beside.requestID, (await anthropic.messages.create(asked))._request_id].join(" ")).to.match(/^req-\S+ req-\S+$/u);
    });
  });
});
