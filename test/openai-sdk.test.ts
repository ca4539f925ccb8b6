import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { EchoEngine } from "../models/echo-engine.ts";
import { LlamaEngine } from "../models/llama-engine.ts";
import { startTestAppliance, type TestAppliance } from "./support/appliance.ts";
import { llamaSettings } from "./support/model.ts";
import { pythonWithOpenAI } from "./support/python.ts";
import { scratchDir } from "./support/scratch.ts";

const card = "4111 1111 1111 1111";

describe("the stock OpenAI SDK for Node", () => {
  let appliance: TestAppliance;
  let client: OpenAI;
  before(async () => {
    const llama = await LlamaEngine.start(llamaSettings(), 64);
    appliance = await startTestAppliance({ engines: [new EchoEngine("echo"), llama] });
    client = appliance.openai();
  });
  after(() => appliance[Symbol.asyncDispose]());

  it("lists models, chats and streams with the real model", async () => {
    const ids = (await Array.fromAsync(client.models.list())).map((model) => model.id);
    expect(ids).to.deep.equal(["echo", "smollm2-135m-instruct"]);
    const asked = {
      model: "smollm2-135m-instruct",
      messages: [{ role: "user" as const, content: "What is the capital of France?" }],
      max_tokens: 24,
      seed: 7,
    };
    const answer = await client.chat.completions.create(asked);
    expect(answer.choices[0]?.message.content).to.include("Paris");
    let streamed = "";
    for await (const chunk of await client.chat.completions.create({ ...asked, stream: true }))
      streamed += chunk.choices[0]?.delta.content ?? "";
    expect(streamed).to.equal(answer.choices[0]?.message.content);
  });

  it("lets a text go on, without roles or template, streaming and not", async () => {
    const asked = {
      model: "smollm2-135m-instruct",
      prompt: "The capital of France is the city of",
      max_tokens: 6,
      temperature: 0,
      seed: 7,
    };
    const answer = await client.completions.create(asked);
    expect(answer.choices[0]?.text).to.match(/^ Paris/u);
    expect(answer.usage?.prompt_tokens, "no token of a template").to.equal(8);
    let streamed = "";
    for await (const chunk of await client.completions.create({ ...asked, stream: true })) streamed += chunk.choices[0]?.text ?? "";
    expect(streamed).to.equal(answer.choices[0]?.text);
    const special = await client.completions.create({ ...asked, prompt: `${asked.prompt} <|im_end|>`, max_tokens: 1 });
    expect(special.usage?.prompt_tokens, "text stays text").to.be.above(10);
  });

  it("gets the card number back that the model never saw", async () => {
    const messages = [{ role: "user" as const, content: `Pay with ${card}, please.` }];
    const answer = await client.chat.completions.create({ model: "echo", messages });
    expect(answer.choices[0]?.message.content).to.equal(`Pay with ${card}, please.`);
  });

  it("raises its own errors for ours, with code and parameter", async () => {
    const asked = { model: "echo", messages: [{ role: "user" as const, content: "a" }] };
    const bad = await client.chat.completions.create({ ...asked, top_logprobs: 2 }).catch((error: unknown) => error);
    expect(bad).to.be.instanceOf(OpenAI.BadRequestError).and.to.include({ code: "unsupported_parameter", param: "top_logprobs" });
    const missing = await client.models.retrieve("gpt-9").catch((error: unknown) => error);
    expect(missing).to.be.instanceOf(OpenAI.NotFoundError).and.to.include({ code: "model_not_found" });
    const refused = await appliance
      .openai("auditor")
      .models.list()
      .catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(OpenAI.PermissionDeniedError).and.to.include({ code: "role_not_allowed" });
  });

  it("runs the functions that an answer calls, and goes on with what they return", async () => {
    const asked: unknown[] = [];
    const stock = {
      name: "stock",
      description: "How many are left",
      parameters: { type: "object" as const, properties: { part: { type: "string" } }, required: ["part"] },
      parse: JSON.parse,
      function: (given: object) => {
        asked.push(given);
        return "Seventeen are left on the shelf.";
      },
    };
    const content = 'Look it up: <tool_call>{"name": "stock", "arguments": {"part": "A7"}}</tool_call>';
    const runner = client.chat.completions.runTools({
      model: "echo",
      messages: [{ role: "user", content }],
      tools: [{ type: "function", function: stock }],
    });
    expect(await runner.finalContent()).to.include("Seventeen are left on the shelf.");
    expect(asked).to.deep.equal([{ part: "A7" }]);
  });

  it("can send an answer back as it has put it together, and as other clients do", async () => {
    const messages = [{ role: "user" as const, content: 'Look: <tool_call>{"name": "stock", "arguments": {"part": "A7"}}</tool_call>' }];
    const parameters = { type: "object", properties: { part: { type: "string" } }, required: ["part"] };
    const asked = { model: "echo", tools: [{ type: "function" as const, function: { name: "stock", parameters } }] };
    const [choice] = (await client.chat.completions.stream({ ...asked, messages }).finalChatCompletion()).choices;
    const [made] = choice?.message.tool_calls ?? [];
    expect(choice?.message).to.have.property("parsed");
    const result = { role: "tool" as const, tool_call_id: made?.id ?? "", content: "Seventeen left." };
    const { content, ...rest } = { ...choice?.message };
    const sent = [
      choice?.message,
      // Python's SDK keeps the place of a call, and what it has read in the arguments.
      { ...choice?.message, tool_calls: [{ ...made, index: 0, function: { ...Object(made).function, parsed_arguments: { part: "A7" } } }] },
      // The Agents SDK.
      { role: "assistant", content: [{ type: "text", text: content, ...rest }], tool_calls: [made] },
    ];
    for (const one of sent) {
      const all = [...messages, one, result] as typeof messages; // neither is in the SDK's own types
      expect((await client.chat.completions.create({ ...asked, messages: all })).choices[0]?.message.content).to.include("Seventeen");
    }
  });

  it("takes lists of nothing, and null wherever it stands", async () => {
    const messages = [
      { role: "user", content: "Hi", name: null },
      { role: "assistant", content: "Well.", tool_calls: [], refusal: null, whatever: null },
      { role: "user", content: [{ type: "text", text: "Hello", annotations: null }] },
    ];
    const nothing = { tools: [], tool_choice: "auto", parallel_tool_calls: true, stream_options: null, no_parameter: null };
    const reply = await appliance.call("POST", "/v1/chat/completions", { model: "echo", messages, ...nothing });
    expect(reply.body.choices[0].message.content).to.equal("Hello");
    const needed = await appliance.call("POST", "/v1/chat/completions", { model: "echo", messages: [{ role: "user", content: null }] });
    expect([needed.status, needed.body.error.code, needed.body.error.param]).to.deep.equal([
      400,
      "missing_parameter",
      "messages[0].content",
    ]);
    const asked = await appliance.call("POST", "/v1/chat/completions", { model: "echo", messages, tools: [], tool_choice: "required" });
    expect([asked.status, asked.body.error.param]).to.deep.equal([400, "tool_choice"]);
  });

  it("says how many stop texts and texts there may be", async () => {
    const messages = [{ role: "user" as const, content: "a" }];
    const said = (reply: { body: { error: { message: string } } }): string => reply.body.error.message;
    const asked = { model: "echo", messages, stop: Array.from({ length: 16 }, (_, index) => `END${index}`) };
    expect((await client.chat.completions.create(asked)).choices[0]?.message.content).to.equal("a");
    expect(said(await appliance.call("POST", "/v1/chat/completions", { ...asked, stop: [...asked.stop, "END"] }))).to.include("<=16");
    expect(said(await appliance.call("POST", "/v1/embeddings", { input: Array.from({ length: 2_049 }, () => "a") }))).to.include("<=2048");
    expect(said(await appliance.call("POST", "/v1/embeddings", { input: [[1]] }))).to.include("no tokens");
  });

  it("gets JSON in the shape that it asks for", async () => {
    const schema = {
      type: "object",
      properties: { city: { type: "string", maxLength: 20 }, country: { enum: ["France", "Spain"] } },
      required: ["city", "country"],
      additionalProperties: false,
    };
    const answer = await client.chat.completions.parse({
      model: "smollm2-135m-instruct",
      messages: [{ role: "user", content: "Name a capital." }],
      response_format: { type: "json_schema", json_schema: { name: "capital", strict: true, schema } },
      seed: 2,
    });
    expect(answer.choices[0]?.message.parsed).to.have.all.keys("city", "country");
  });

  it("gets what a schema of Zod asks for, formats too", async () => {
    const invoice = z.object({
      day: z.iso.date(),
      at: z.iso.datetime({ precision: 3 }),
      number: z.string().regex(/^INV-\d{4}$/u),
      id: z.uuid(),
    });
    const answer = await client.chat.completions.parse({
      model: "smollm2-135m-instruct",
      messages: [{ role: "user", content: "Make up an invoice." }],
      response_format: zodResponseFormat(invoice, "invoice"),
      max_tokens: 200,
      seed: 2,
    });
    expect(invoice.parse(answer.choices[0]?.message.parsed)).to.have.property("day");
  });

  it("ends the engine's work when it aborts", async () => {
    const stream = await client.chat.completions.create({
      model: "smollm2-135m-instruct",
      messages: [{ role: "user", content: "Tell a long story." }],
      stream: true,
    });
    for await (const _ of stream) break;
    const answer = await client.chat.completions.create({ model: "echo", messages: [{ role: "user", content: "still here" }] });
    expect(answer.choices[0]?.message.content).to.equal("still here");
  });
});

describe("the stock OpenAI SDK for Python", () => {
  const script = `
import json, ssl, sys
from openai import BadRequestError, DefaultHttpxClient, OpenAI

url, certs = sys.argv[1:]
tls = ssl.create_default_context(cafile=certs + "/ca.pem")
tls.load_cert_chain(certs + "/clients/app/cert.pem", certs + "/clients/app/key.pem")
client = OpenAI(base_url=url + "/v1", api_key="unused", http_client=DefaultHttpxClient(verify=tls))
asked = dict(model="echo", messages=[{"role": "user", "content": "Pay with ${card}, please."}])
answer = client.chat.completions.create(**asked).choices[0].message.content
streamed = "".join(chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**asked, stream=True))
try:
    client.chat.completions.create(**asked, top_logprobs=2)
except BadRequestError as error:
    code = [error.code, error.param]
print(json.dumps({"models": [model.id for model in client.models.list()], "answer": answer, "streamed": streamed, "code": code}))
`;

  it("lists models, chats, streams, gets the card number back, and raises its own errors", async () => {
    const python = await pythonWithOpenAI();
    await using appliance = await startTestAppliance();
    const file = join(scratchDir(), "client.py");
    writeFileSync(file, script);
    const { status, stdout, stderr } = await python(file, [appliance.url, appliance.certsDir]);
    expect([status, stderr]).to.deep.equal([0, ""]);
    expect(JSON.parse(stdout)).to.deep.equal({
      models: ["echo"],
      answer: `Pay with ${card}, please.`,
      streamed: `Pay with ${card}, please.`,
      code: ["unsupported_parameter", "top_logprobs"],
    });
  }).timeout(180_000);
});
