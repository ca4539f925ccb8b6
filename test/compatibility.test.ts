import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { toFile } from "openai";
import { type Reply, root, startTestAppliance, type TestAppliance, userSays } from "./support/appliance.ts";

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
