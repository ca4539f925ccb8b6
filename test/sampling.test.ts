import { expect } from "chai";
import { LlamaEngine } from "../models/llama-engine.ts";
import { TokenBiases } from "../models/token-biases.ts";
import { type Reply, startTestAppliance, type TestAppliance, userSays } from "./support/appliance.ts";
import { entriesOf } from "./support/entries.ts";
import { llamaSettings } from "./support/model.ts";

/** Tokens of the default model's vocabulary. */
const tokens = { paris: 7042, the: 504, quote: 18, red: 455, opensTurn: 1, endsTurn: 2, count: 49_152 } as const;
const france = { ...userSays("What is the capital of France?"), max_tokens: 12, temperature: 0 };
const sea = { ...userSays("Write about the sea."), max_tokens: 16, temperature: 1.5 };
const refrain = { prompt: "The sea, the sea, the sea, the sea, the sea,", max_tokens: 24, temperature: 0 };

describe("sampling, with the real model,", () => {
  let appliance: TestAppliance;
  before(async () => {
    appliance = await startTestAppliance({ engines: [await LlamaEngine.start(llamaSettings(), 64)] });
  });
  after(() => appliance[Symbol.asyncDispose]());

  const ask = (path: string, body: object): Promise<Reply> => appliance.call("POST", path, body);
  const chat = async (body: object): Promise<string> => {
    const reply = await ask("/v1/chat/completions", body);
    return reply.body.choices?.[0].message.content ?? reply.text;
  };
  const completion = async (body: object): Promise<string> => {
    const reply = await ask("/v1/completions", body);
    return reply.body.choices?.[0].text ?? reply.text;
  };
  const message = async (body: object): Promise<string> => (await ask("/v1/messages", body)).body.content?.[0].text;

  it("logit_bias -100 forbids a token, 100 forces it, and what lies between moves the odds", async () => {
    expect(await chat(france)).to.equal("The capital of France is Paris.");
    expect(await chat({ ...france, logit_bias: { [tokens.the]: -100 } })).to.not.match(/^The/u);
    expect(await chat({ ...france, logit_bias: { [tokens.paris]: 100 }, max_tokens: 3 })).to.equal(" Paris Paris Paris");
    expect(await chat({ ...france, logit_bias: { [tokens.paris]: -20 } })).to.match(/^The capital of France is (?!Paris)/u);
    expect(await chat({ ...france, logit_bias: { [tokens.paris]: 0.1 } })).to.equal("The capital of France is Paris.");
    const asked = { prompt: "The capital of France is", max_tokens: 1, temperature: 0 };
    expect(await completion(asked)).to.equal(" Paris");
    expect(await completion({ ...asked, logit_bias: { [tokens.paris]: -100 } })).to.not.equal(" Paris");
  });

  it("logit_bias chooses among what a schema allows, and never breaks it", async () => {
    const colour = (logit_bias: object): Promise<string> =>
      chat({
        ...userSays("What colour is the sky?"),
        response_format: { type: "json_schema", json_schema: { name: "colour", schema: { enum: ["red", "blue"] } } },
        temperature: 0,
        max_tokens: 20,
        logit_bias,
      });
    expect(await colour({})).to.equal('"blue"');
    expect(await colour({ [tokens.red]: 100 })).to.equal('"red"');
    // No string begins without it.
    expect(JSON.parse(await colour({ [tokens.quote]: -100, [tokens.opensTurn]: 100 }))).to.be.oneOf(["red", "blue"]);
  });

  it("logit_bias of what is no token of the model, or ends its answers, is refused by name", async () => {
    for (const [path, asked] of [
      ["/v1/chat/completions", france],
      ["/v1/completions", refrain],
    ] as const) {
      expect((await ask(path, { ...asked, logit_bias: { [tokens.count - 1]: 1 } })).status).to.equal(200);
      for (const [token, said] of [
        [tokens.count, "no token 49152; this model's are 0 to 49151"],
        [tokens.endsTurn, "token 2 ends the answer"],
      ] as const) {
        const { status, body } = await ask(path, { ...asked, logit_bias: { [token]: 1 }, stream: true });
        expect([status, body.error.code, body.error.param]).to.deep.equal([400, "logit_bias_unsupported", "logit_bias"]);
        expect(body.error.message).to.include(said);
      }
    }
  });

  it("frequency_penalty and presence_penalty end a refrain, and negative ones begin one", async () => {
    const sung = await completion(refrain);
    expect(sung).to.match(/^(?: the sea,){8}$/u);
    expect(await completion({ ...refrain, frequency_penalty: 0, presence_penalty: 0 })).to.equal(sung);
    for (const penalty of ["frequency_penalty", "presence_penalty"])
      expect((await completion({ ...refrain, [penalty]: 2 })).match(/the sea/gu), penalty).to.have.length.below(4);
    const river = { ...refrain, prompt: "river river river river river river" };
    const begun = await completion({ ...river, frequency_penalty: -2 });
    expect(begun)
      .to.match(/(.{1,12}?)\1{5}/su)
      .and.not.equal(await completion(river));
    const free = await chat({ ...sea, temperature: 0, max_tokens: 60 });
    expect(await chat({ ...sea, temperature: 0, max_tokens: 60, frequency_penalty: 2 })).to.not.equal(free);
  });

  it("top_k 1 and min_p 1 leave nothing to chance, in three APIs and in JSON", async () => {
    const surest = await chat({ ...sea, temperature: 0 });
    expect(await chat({ ...sea, seed: 1 })).to.not.equal(await chat({ ...sea, seed: 2 }));
    for (const only of [{ top_k: 1 }, { min_p: 1 }]) {
      for (const seed of [1, 2]) expect(await chat({ ...sea, seed, ...only }), JSON.stringify(only)).to.equal(surest);
      const sung = { ...refrain, temperature: 2 };
      expect(await completion({ ...sung, seed: 1, ...only })).to.equal(await completion({ ...sung, seed: 2, ...only }));
    }
    const list = { type: "array", items: { enum: ["a", "b"] }, minItems: 8, maxItems: 8 };
    const letters = (more: object): Promise<string> =>
      chat({
        ...userSays("List letters."),
        response_format: { type: "json_schema", json_schema: { name: "letters", schema: list } },
        ...more,
      });
    expect(await letters({ temperature: 2, seed: 5, top_k: 1 })).to.equal(await letters({ temperature: 0 }));
    expect(await letters({ temperature: 2, seed: 5 })).to.not.equal(await letters({ temperature: 0 }));
    for (let time = 0; time < 2; time += 1)
      expect(await message({ ...userSays("Write about the sea."), max_tokens: 16, temperature: 1, top_k: 1 })).to.equal(surest);
  });

  it("a seed makes an answer come again, also one below zero; without one each answer is drawn anew", async () => {
    const [first, again, other] = [await chat({ ...sea, seed: -1 }), await chat({ ...sea, seed: -1 }), await chat({ ...sea, seed: -2 })];
    expect(again).to.equal(first).and.to.not.equal(other);
    const drawn = await Promise.all(Array.from({ length: 4 }, () => chat(sea)));
    expect(new Set(drawn).size).to.be.above(1);
  });

  it("stands in the log as it was asked for; of logit_bias, which can spell a text, only how many tokens it named", async () => {
    const asked = { top_k: 3, min_p: 0.1, presence_penalty: 0.5, frequency_penalty: -0.5, seed: 9, logit_bias: { 4242: -1.25, 4343: 1.5 } };
    await chat({ ...france, ...asked });
    const entry = entriesOf(appliance.config.dataDir).findLast(({ kind }) => kind === "received");
    expect(entry?.body.sampling).to.deep.equal({
      tokensMax: 12,
      temperature: 0,
      topK: 3,
      minP: 0.1,
      presencePenalty: 0.5,
      frequencyPenalty: -0.5,
      seed: 9,
      logitBias: 2,
      stops: 0,
    });
  });

  it("out of bounds is refused by name", async () => {
    const biases = (length: number): object => Object.fromEntries(Array.from({ length }, (_, index) => [index + 10, 1]));
    expect((await ask("/v1/chat/completions", { ...france, max_tokens: 1, logit_bias: biases(300) })).status).to.equal(200);
    for (const [param, value] of [
      ["presence_penalty", 2.1],
      ["frequency_penalty", -2.1],
      ["top_k", 0],
      ["top_k", 2 ** 32 + 1],
      ["min_p", 1.1],
      ["logit_bias", biases(301)],
      ["logit_bias", { "1": 101 }],
      ["logit_bias", { "canary bob@example.org": 1 }],
      ["logit_bias", { "-1": 1 }],
      ["logit_bias", []],
    ] as const) {
      const { status, body, text } = await ask("/v1/chat/completions", { ...france, [param]: value });
      expect([status, body.error.code, body.error.param.split(".")[0]]).to.deep.equal([400, "invalid_value", param]);
      expect(text).to.not.include("@example");
    }
    const anthropic = await ask("/v1/messages", { ...userSays("a"), max_tokens: 1, top_k: 0 });
    expect(anthropic.status).to.equal(400);
  });
});

describe("the biases of tokens", () => {
  it("are the caller's own, less the presence penalty once and the frequency penalty each time", () => {
    const told: [number, number][] = [];
    const biases = new TokenBiases({ logitBias: { 7: 3, 8: -100 }, presencePenalty: 1, frequencyPenalty: 0.5 }, (...one) => told.push(one));
    for (const token of [7, 7, 9]) biases.add(token);
    expect(told[0]).to.deep.equal([7, 3]);
    expect(told[1]?.[1], "beyond every logit, and finite").to.be.within(-1e9, -1e5);
    expect(told.slice(2)).to.deep.equal([
      [7, 1.5],
      [7, 1],
      [9, -1.5],
    ]);
  });
});
