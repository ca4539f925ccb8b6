import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { toFile } from "openai";
import { type Json, type Reply, root, startTestAppliance, type TestAppliance, userSays } from "./support/appliance.ts";

interface Row {
  readonly parameter: string;
  readonly example: unknown;
  readonly here: string;
}

/** The rows of the section of `docs/compatibility.md` that is about `path`. */
function rowsOf(path: string): Row[] {
  const section = readFileSync(join(root, "docs/compatibility.md"), "utf8").split(`## \`POST ${path}\``)[1]?.split("\n## ")[0] ?? "";
  return [...section.matchAll(/^\| `(\w+)` +\| `(.+?)` +\| (honoured|refused) +\|/gmu)].map(
    ([, parameter = "", example = "", here = ""]) => ({
      parameter,
      example: JSON.parse(example),
      here,
    }),
  );
}

/** What an interface of a vendor's SDK names. */
function parametersOf(file: string, name: string): string[] {
  const [, body = ""] = readFileSync(join(root, "node_modules", file), "utf8").split(`export interface ${name} {`);
  return [...(body.split("\n}")[0] ?? "").matchAll(/^ {4}(\w+)\??:/gmu)].map(([, parameter]) => parameter ?? "");
}

type Asked = object | ((appliance: TestAppliance) => Promise<object>);

/** A batch needs a file. */
async function batchOf(appliance: TestAppliance): Promise<object> {
  const { id } = await appliance.openai().files.create({ purpose: "batch", file: await toFile(Buffer.from("{}\n"), "a.jsonl") });
  return { input_file_id: id, endpoint: "/v1/chat/completions", completion_window: "24h" };
}

const anthropicMessages = "@anthropic-ai/sdk/resources/messages/messages.d.ts";

const endpoints: readonly (readonly [path: string, asked: Asked, file: string, name: string])[] = [
  ["/v1/chat/completions", userSays("Hi"), "openai/resources/chat/completions/completions.d.ts", "ChatCompletionCreateParamsBase"],
  ["/v1/completions", { prompt: "Hi" }, "openai/resources/completions.d.ts", "CompletionCreateParamsBase"],
  ["/v1/embeddings", { input: "Hi" }, "openai/resources/embeddings.d.ts", "EmbeddingCreateParams"],
  ["/v1/moderations", { input: "Hi" }, "openai/resources/moderations.d.ts", "ModerationCreateParams"],
  ["/v1/batches", batchOf, "openai/resources/batches.d.ts", "BatchCreateParams"],
  ["/v1/responses", { input: "Hi" }, "openai/resources/responses/responses.d.ts", "ResponseCreateParamsBase"],
  ["/v1/responses/input_tokens", { input: "Hi" }, "openai/resources/responses/input-tokens.d.ts", "InputTokenCountParams"],
  ["/v1/messages", { ...userSays("Hi"), max_tokens: 9 }, anthropicMessages, "MessageCreateParamsBase"],
  ["/v1/messages/count_tokens", userSays("Hi"), anthropicMessages, "MessageCountTokensParams"],
];

describe("the table of compatibility", () => {
  let appliance: TestAppliance;
  before(async () => {
    appliance = await startTestAppliance();
  });
  after(() => appliance[Symbol.asyncDispose]());

  for (const [path, asked, file, name] of endpoints) {
    it(`has every parameter that the vendor's SDK has for ${path}`, () => {
      const known = parametersOf(file, name);
      expect(known.length).to.be.above(1);
      expect(rowsOf(path).map(({ parameter }) => parameter)).to.include.members(known);
    });

    it(`has every parameter that is taken at ${path}`, async () => {
      const { body } = await appliance.call("GET", "/openapi.json");
      const { schema } = body.paths[path].post.requestBody.content["application/json"];
      const { properties = {} } = schema.$ref === undefined ? schema : body.components.schemas[schema.$ref.split("/").at(-1)];
      expect(Object.keys(properties).length).to.be.above(1);
      const theirs = Object.keys(properties).filter((name) => name !== "tool_confirmations");
      expect(rowsOf(path).map(({ parameter }) => parameter)).to.include.members(theirs);
    });

    it(`takes null for every parameter that is refused at ${path}`, async () => {
      const whole = typeof asked === "function" ? await asked(appliance) : asked;
      const rows = rowsOf(path);
      const spare = rows.filter(({ parameter }) => !Object.hasOwn(whole, parameter));
      const never = spare.filter(({ parameter }) => rows.every((one) => one.parameter !== parameter || one.here === "refused"));
      const nothing = Object.fromEntries(never.map(({ parameter }) => [parameter, null]));
      expect((await appliance.call("POST", path, { ...whole, ...nothing })).status, Object.keys(nothing).join(", ")).to.equal(200);
    });

    for (const { parameter, example, here } of rowsOf(path)) {
      it(`${path}: ${parameter} ${JSON.stringify(example)} is ${here}`, async () => {
        const whole = typeof asked === "function" ? await asked(appliance) : asked;
        const reply: Reply = await appliance.call("POST", path, { ...whole, [parameter]: example });
        if (here === "honoured") expect(reply.status, reply.text).to.equal(200);
        else {
          expect([reply.status, reply.body.error.param.split(/[.[]/u)[0]]).to.deep.equal([400, parameter]);
          expect(reply.body.error.code).to.be.oneOf(["unsupported_parameter", "invalid_value"]);
        }
      });
    }
  }
});

/** The fields that an interface of a vendor's SDK requires; one within another is `Outer.Inner`. */
function requiredOf(file: string, name: string): string[] {
  const [outer = "", inner] = name.split(".");
  const text = readFileSync(join(root, "node_modules", file), "utf8");
  const around = inner === undefined ? text : (text.split(`namespace ${outer} {`)[1] ?? "");
  const [, body = ""] = around.split(new RegExp(` interface ${inner ?? outer} (?:extends \\w+ )?\\{`, "u"));
  const indent = inner === undefined ? "" : "    ";
  return [...(body.split(`\n${indent}}`)[0] ?? "").matchAll(new RegExp(`^    ${indent}(\\w+): `, "gmu"))].map(([, field]) => field ?? "");
}

describe("an answer", () => {
  let appliance: TestAppliance;
  before(async () => {
    appliance = await startTestAppliance();
  });
  after(() => appliance[Symbol.asyncDispose]());

  const openai = (file: string): string => `openai/resources/${file}.d.ts`;
  const call = 'Look: <tool_call>{"name": "f", "arguments": {}}</tool_call>';
  const has = (value: unknown, file: string, name: string, but: readonly string[] = []): void => {
    const fields = requiredOf(file, name).filter((field) => !but.includes(field));
    expect(fields, name).to.have.length.above(0);
    expect(value, name).to.be.an("object");
    expect(Object.keys(Object(value)), name).to.include.members(fields);
  };
  const eventsIn = (text: string): Json[] => [...text.matchAll(/^data: (\{.*)$/gmu)].map(([, data = ""]) => JSON.parse(data));

  it("has every field that Anthropic's SDK requires, whole and streamed, and so has an error", async () => {
    const asked = { ...userSays(call), max_tokens: 99, tools: [{ name: "f", input_schema: { type: "object" } }] };
    const { body } = await appliance.call("POST", "/v1/messages", asked);
    const streamed = eventsIn((await appliance.call("POST", "/v1/messages", { ...asked, stream: true })).text);
    const ofType = (type: string): Json => streamed.find((event) => event.type === type);
    for (const message of [body, ofType("message_start").message]) {
      has(message, anthropicMessages, "Message");
      has(message.usage, anthropicMessages, "Usage");
    }
    const blocks = streamed.flatMap((event) => (event.type === "content_block_start" ? [event.content_block] : []));
    for (const [text, used] of [body.content, blocks]) {
      has(text, anthropicMessages, "TextBlock");
      has(used, anthropicMessages, "ToolUseBlock");
    }
    has(ofType("message_delta").delta, anthropicMessages, "RawMessageDeltaEvent.Delta");
    has(ofType("message_delta").usage, anthropicMessages, "MessageDeltaUsage");
    const refused = await appliance.call("POST", "/v1/messages", {});
    has(refused.body, "@anthropic-ai/sdk/resources/shared.d.ts", "ErrorResponse");
    expect(refused.body.request_id).to.equal(refused.headers["request-id"]);
  });

  it("has every field that OpenAI's SDK requires", async () => {
    const responses = openai("responses/responses");
    const asked = { input: call, tools: [{ type: "function", name: "f", parameters: { type: "object" } }] };
    const { body } = await appliance.call("POST", "/v1/responses", asked);
    has(body, responses, "Response", ["output_text"]); // the SDK makes it
    has(body.usage, responses, "ResponseUsage");
    has(body.usage.input_tokens_details, responses, "ResponseUsage.InputTokensDetails");
    has(body.usage.output_tokens_details, responses, "ResponseUsage.OutputTokensDetails");
    has(body.output[0], responses, "ResponseOutputMessage");
    has(body.output[0].content[0], responses, "ResponseOutputText");
    has(body.output[1], responses, "ResponseFunctionToolCall");
    const completions = openai("chat/completions/completions");
    const { body: chat } = await appliance.call("POST", "/v1/chat/completions", userSays("Hi"));
    has(chat, completions, "ChatCompletion");
    has(chat.choices[0], completions, "ChatCompletion.Choice");
    has(chat.choices[0].message, completions, "ChatCompletionMessage");
    has(chat.usage, openai("completions"), "CompletionUsage");
    const { text } = await appliance.call("POST", "/v1/chat/completions", { ...userSays("Hi"), stream: true });
    for (const chunk of eventsIn(text)) {
      has(chunk, completions, "ChatCompletionChunk");
      has(chunk.choices[0], completions, "ChatCompletionChunk.Choice");
    }
    const { body: older } = await appliance.call("POST", "/v1/completions", { prompt: "Hi" });
    has(older, openai("completions"), "Completion");
    has(older.choices[0], openai("completions"), "CompletionChoice");
    const { body: vectors } = await appliance.call("POST", "/v1/embeddings", { input: "Hi" });
    has(vectors, openai("embeddings"), "CreateEmbeddingResponse");
    has(vectors.data[0], openai("embeddings"), "Embedding");
    const { body: judged } = await appliance.call("POST", "/v1/moderations", { input: "Hi" });
    has(judged, openai("moderations"), "ModerationCreateResponse");
    has(judged.results[0], openai("moderations"), "Moderation");
    has((await appliance.call("GET", "/v1/models")).body.data[0], openai("models"), "Model");
    const { body: batch } = await appliance.call("POST", "/v1/batches", await batchOf(appliance));
    has(batch, openai("batches"), "Batch");
    has((await appliance.call("GET", `/v1/files/${batch.input_file_id}`)).body, openai("files"), "FileObject");
  });
});
