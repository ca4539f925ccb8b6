import { expect } from "chai";
import { EchoEngine } from "../models/echo-engine.ts";
import type { EngineEvent, Generation } from "../models/engine.ts";
import { LlamaEngine } from "../models/llama-engine.ts";
import { eventsOf, type Json, prose, startTestAppliance, userSays } from "./support/appliance.ts";
import { entriesOf } from "./support/entries.ts";
import { llamaSettings } from "./support/model.ts";
import { noGuards } from "./support/stream.ts";
import { pause, until } from "./support/until.ts";

const chat = "/v1/chat/completions";

/** Says what it is told to say, one text an answer. */
class Saying extends EchoEngine {
  readonly #texts: string[];

  constructor(...texts: string[]) {
    super("saying");
    this.#texts = texts;
  }

  override generate(generation: Generation, signal: AbortSignal): AsyncGenerator<EngineEvent> {
    return super.generate({ ...generation, turns: [{ role: "user", text: this.#texts.shift() ?? "" }] }, signal);
  }
}

/** The answers of a stream, put together as a client does. */
function assembled(text: string): { roles: number; content: string; reason: string; guard?: Json }[] {
  const answers: { roles: number; content: string; reason: string; guard?: Json }[] = [];
  for (const { index, delta, finish_reason, guard } of eventsOf(text).flatMap(({ choices }) => choices)) {
    answers[index] ??= { roles: 0, content: "", reason: "" };
    if (delta.role === "assistant") answers[index].roles += 1;
    answers[index].content += delta.content ?? "";
    answers[index].reason += finish_reason ?? "";
    if (guard !== undefined) answers[index].guard = guard;
  }
  return answers;
}

describe("several answers to one call (`n`)", () => {
  it("are what as many calls with the next seeds would have got, whole and streamed; the prompt counts and is computed once", async () => {
    await using appliance = await startTestAppliance({ engines: [await LlamaEngine.start(llamaSettings(), 64)] });
    const asked = { ...userSays("Write about the sea."), max_tokens: 12, temperature: 1.5 };
    const alone: Json[] = [];
    for (const seed of [4, 5, 6]) alone.push((await appliance.call("POST", chat, { ...asked, seed })).body);
    const texts = alone.map(({ choices }) => choices[0].message.content);
    expect(new Set(texts).size).to.equal(3);

    const { body } = await appliance.call("POST", chat, { ...asked, seed: 4, n: 3 });
    expect(body.choices.map((one: Json) => [one.index, one.message.content, one.finish_reason])).to.deep.equal(
      texts.map((text, index) => [index, text, "length"]),
    );
    const { prompt_tokens } = alone[0].usage;
    expect(body.usage).to.include({ prompt_tokens, completion_tokens: 36, total_tokens: prompt_tokens + 36 });

    const streamed = { ...asked, seed: 4, n: 3, stream: true, stream_options: { include_usage: true } };
    const { text } = await appliance.call("POST", chat, streamed);
    expect(assembled(text)).to.deep.equal(texts.map((content) => ({ roles: 1, content, reason: "length" })));
    expect(text.match(/\[DONE\]/gu)).to.have.length(1);
    expect(eventsOf(text).at(-1)).to.deep.include({ choices: [] });
    expect(eventsOf(text).at(-1).usage.completion_tokens).to.equal(36);

    const settled = entriesOf(appliance.config.dataDir).filter(({ kind }) => kind === "settled");
    const cached = settled.slice(-3).map((entry) => entry.body.usage.cachedTokens);
    expect(cached.slice(1)).to.deep.equal([prompt_tokens - 1, prompt_tokens - 1]);
  });

  it("reach the stock SDK, and without a seed each is drawn anew", async () => {
    await using appliance = await startTestAppliance({ engines: [await LlamaEngine.start(llamaSettings(), 64)] });
    const answer = await appliance.openai().chat.completions.create({
      model: "smollm2-135m-instruct",
      messages: [{ role: "user", content: "Write about the sea." }],
      max_completion_tokens: 12,
      temperature: 1.5,
      n: 4,
    });
    expect(new Set(answer.choices.map(({ message }) => message.content)).size).to.be.above(1);
  });

  it("are judged one by one; `guard` stands in the choice it is about", async () => {
    const policy = "attempts_max: 1\noutput: { topics: [{ label: ADVICE, words: [you should buy] }] }\n";
    const texts = ["It rose by two.", "You should buy it now.", "It is calm today."];
    for (const stream of [false, true]) {
      await using appliance = await startTestAppliance({ engines: [new Saying(...texts)], policy });
      const { body, text } = await appliance.call("POST", chat, { ...userSays("How is the share?"), n: 3, stream });
      const answers = stream
        ? assembled(text)
        : body.choices.map((one: Json) => ({ content: one.message.content, reason: one.finish_reason, guard: one.guard }));
      expect(answers.map((one: Json) => [one.content, one.reason, one.guard?.code])).to.deep.equal([
        [texts[0], "stop", undefined],
        ["", "content_filter", "topic"],
        [texts[2], "stop", undefined],
      ]);
      expect(text).to.not.include("should buy");
    }
  });

  it("are calls of their own in the log, each received and settled before the next begins", async () => {
    await using appliance = await startTestAppliance();
    const { body } = await appliance.call("POST", chat, { ...userSays("one two three"), n: 3, seed: 7 });
    const entries = entriesOf(appliance.config.dataDir).filter(({ call }) => call !== "");
    const ids = [body.id, `${body.id}-2`, `${body.id}-3`];
    expect(entries.map(({ kind, call }) => `${kind} ${call}`)).to.deep.equal(ids.flatMap((id) => [`received ${id}`, `settled ${id}`]));
    expect(entries.filter(({ kind }) => kind === "received").map((entry) => entry.body.sampling.seed)).to.deep.equal([7, 8, 9]);
    expect(entries.filter(({ kind }) => kind === "settled").map((entry) => entry.body.outcome)).to.deep.equal(Array(3).fill("answered"));
  });

  it("each take one request of a quota, and end with it", async () => {
    await using appliance = await startTestAppliance({ policy: `quota: { window: day, requests_max: 5 }\n${noGuards}` });
    expect((await appliance.call("POST", chat, { ...userSays("one"), n: 3 })).status).to.equal(200);
    const over = await appliance.call("POST", chat, { ...userSays("one"), n: 3 });
    expect([over.status, over.body.error.code]).to.deep.equal([429, "quota_exceeded"]);
    const received = entriesOf(appliance.config.dataDir).filter(({ kind }) => kind === "received");
    expect(received.length).to.equal(5);
    const streamed = await appliance.call("POST", chat, { ...userSays("one"), stream: true, n: 2 }, { as: "operator" });
    expect(assembled(streamed.text).map(({ content }) => content)).to.deep.equal(["one", "one"]);
  });

  it("end with a client that leaves: what has not begun does not begin", async () => {
    await using appliance = await startTestAppliance({ engines: [new EchoEngine("echo", { tokenDelayMs: 30 })] });
    const entries = () => entriesOf(appliance.config.dataDir).filter(({ call }) => call !== "");
    for (const [index, stream] of [false, true].entries()) {
      const leave = new AbortController();
      const left = appliance.call("POST", chat, { ...userSays(prose(20)), n: 3, stream }, { signal: leave.signal }).catch(() => "left");
      await pause(300);
      leave.abort();
      expect(await left).to.equal("left");
      await until(() => entries().length >= 2 * (index + 1));
    }
    await pause(200);
    expect(entries().map(({ kind, body }) => [kind, body.outcome])).to.deep.equal(
      [0, 1].flatMap(() => [
        ["received", undefined],
        ["settled", "cancelled"],
      ]),
    );
  });

  it("stop with a prompt that is refused: it is refused once", async () => {
    await using appliance = await startTestAppliance();
    const { body } = await appliance.call("POST", chat, { ...userSays("\b".repeat(50)), n: 4 });
    expect(body.error.code).to.equal("control_characters");
    const outcomes = entriesOf(appliance.config.dataDir).flatMap((entry) => (entry.kind === "settled" ? [entry.body.outcome] : []));
    expect(outcomes).to.deep.equal(["refused"]);
  });

  it("are four at most, and one where calls are confirmed", async () => {
    await using appliance = await startTestAppliance();
    for (const more of [{ n: 0 }, { n: 5 }, { n: 2, tool_confirmations: ["a"] }]) {
      const { status, body } = await appliance.call("POST", chat, { ...userSays("one"), ...more });
      expect([status, body.error.code, body.error.param]).to.deep.equal([400, "invalid_value", "n"]);
    }
  });
});
