import { mock } from "node:test";
import { setImmediate as atOnce } from "node:timers/promises";
import { expect } from "chai";
import type { EngineEvent, EngineFault, Generation } from "../models/engine.ts";
import { grammarOf } from "../models/json-grammar.ts";
import { LlamaEngine } from "../models/llama-engine.ts";
import { grammarFor } from "../models/llama-grammar.ts";
import { openLlama } from "../models/llama-load.ts";
import { type Sequence, Sequences } from "../models/sequences.ts";
import { type Place, Slots } from "../models/slots.ts";
import { whenDisplaced, whenIdle } from "../models/spare-cores.ts";
import { type Reply, startTestAppliance, userSays } from "./support/appliance.ts";
import { defaultModelFile, llamaSettings } from "./support/model.ts";
import { pause } from "./support/until.ts";

const never = new AbortController().signal;

const asks = (identity: string, text: string, more: Partial<Generation> = {}): Generation => ({
  turns: [{ role: "user", text }],
  identity,
  ...more,
});

async function answerOf(engine: LlamaEngine, generation: Generation): Promise<{ text: string; tokens: number; cached: number }> {
  const answer = { text: "", tokens: 0, cached: 0 };
  for await (const event of engine.generate(generation, never)) {
    if (event.type === "prompt") Object.assign(answer, { tokens: event.tokens, cached: event.cached });
    if (event.type === "text") answer.text += event.text;
  }
  return answer;
}

const faultOf = async (promise: Promise<unknown>): Promise<EngineFault> => {
  const error: unknown = await promise.then(
    () => new Error("it succeeded"),
    (reason: unknown) => reason,
  );
  return error as EngineFault; // looked at by the test
};

describe("what an engine keeps of a call", () => {
  const story = `${"The parcel travels from the house to the door. ".repeat(20)}What travels?`;

  it("is used for the same identity's next prompt, and never for another identity's", async () => {
    await using engine = await LlamaEngine.start(llamaSettings({ parallel: 2 }), 8);
    const first = await answerOf(engine, asks("a", story, { tokensMax: 4 }));
    expect(first.cached).to.equal(0);
    expect((await answerOf(engine, asks("a", story, { tokensMax: 4 }))).cached).to.equal(first.tokens - 1);
    // In the empty sequence, in one that `a` has left, and in its own.
    expect((await answerOf(engine, asks("b", story, { tokensMax: 4 }))).cached).to.equal(0);
    expect((await answerOf(engine, asks("c", story, { tokensMax: 4 }))).cached).to.equal(0);
    expect((await answerOf(engine, asks("c", story, { tokensMax: 4 }))).cached).to.equal(first.tokens - 1);
  });

  it("is used for others as far as it is the operator's own words, and how far says nothing of what another one sent", async () => {
    await using engine = await LlamaEngine.start(llamaSettings({ parallel: 1 }), 8);
    const operator = "You are the desk of a parcel service. Answer in one sentence, name no prices, and be kind. ".repeat(8).trim();
    const says = (identity: string, own: string, shared: string | undefined = operator): Generation => ({
      turns: [
        { role: "system", text: [operator, own].filter((text) => text !== "").join("\n\n") },
        { role: "user", text: "Where is my parcel?" },
      ],
      identity,
      ...(shared === undefined ? {} : { shared }),
      tokensMax: 4, // where a prompt is cut in pieces moves the last digits, and a long answer with them
      temperature: 0,
    });
    const first = await answerOf(engine, says("a", "Speak of the river."));
    const same = await answerOf(engine, says("b", "Speak of the river."));
    const other = await answerOf(engine, says("c", "Never mind."));
    const none = await answerOf(engine, says("d", ""));
    const { tokens } = await answerOf(engine, { turns: [], text: operator, identity: "e", tokensMax: 1 });
    expect(first.cached).to.equal(0);
    expect(same.cached).to.be.within(tokens - 2, tokens + 8); // the template's first tokens stand before it
    expect([other.cached, none.cached]).to.deep.equal([same.cached, same.cached]);
    expect(same.text).to.equal(first.text);
    // The same words, but nobody said that they are the operator's: before and after.
    expect((await answerOf(engine, says("f", "", "The desk."))).cached).to.equal(0);
    expect((await answerOf(engine, says("g", ""))).cached).to.equal(0);
    expect((await answerOf(engine, says("h", ""))).cached).to.equal(same.cached);
  });

  it("is the operator's where the policy has a system text, for whoever it judges", async () => {
    const engine = await LlamaEngine.start(llamaSettings({ parallel: 1 }), 8);
    const policy = `prompt: { system: "${"You are the desk of a parcel service. ".repeat(10).trim()}" }\n`;
    await using appliance = await startTestAppliance({ engines: [engine], policy });
    const cachedFor = async (as: string): Promise<number> => {
      const { body } = await appliance.call("POST", "/v1/chat/completions", { ...userSays("Where is it?"), max_tokens: 2 }, { as });
      return body.usage.prompt_tokens_details.cached_tokens;
    };
    expect(await cachedFor("app")).to.equal(0);
    expect(await cachedFor("operator")).to.be.above(60);
  });

  it("makes a repeated prompt quick for who has sent it, and for nobody else", async () => {
    await using engine = await LlamaEngine.start(llamaSettings({ parallel: 4 }), 8);
    const timed = async (identity: string): Promise<number> => {
      const startedMs = performance.now();
      await answerOf(engine, asks(identity, story, { tokensMax: 1 }));
      return performance.now() - startedMs;
    };
    await answerOf(engine, asks("z", "Warm up.", { tokensMax: 1 }));
    const first = await timed("a");
    const repeated = await timed("a");
    const other = await timed("b");
    expect(repeated).to.be.below(first / 2);
    expect(other).to.be.above(repeated * 2);
  });

  it("is no grammar for another identity: the time it takes would say what schema was sent", async () => {
    const { llama } = await openLlama("off", 1);
    try {
      const model = await llama.loadModel({ modelPath: defaultModelFile, vocabOnly: true });
      const read = mock.method(llama, "createGrammar");
      const text = grammarOf({ type: "object", properties: { account: { const: "ACC-4711" } } }, { strict: true });
      for (const identity of ["a", "a", "b", "a", "b"]) await grammarFor(model, text, identity);
      expect(read.mock.callCount()).to.equal(2);
    } finally {
      await llama.dispose();
    }
  });

  it("is no more than may be kept; nothing where that is none", async () => {
    await using engine = await LlamaEngine.start(llamaSettings({ cacheBytesMax: 0 }), 8);
    await answerOf(engine, asks("a", story, { tokensMax: 1 }));
    expect((await answerOf(engine, asks("a", story, { tokensMax: 1 }))).cached).to.equal(0);
  });

  it("leaves the answer as it would be without", async () => {
    await using engine = await LlamaEngine.start(llamaSettings(), 8);
    const asked = asks("a", story, { tokensMax: 8, temperature: 0 });
    const first = await answerOf(engine, asked);
    const again = await answerOf(engine, asked);
    expect(again.cached).to.be.above(0);
    expect(again.text).to.equal(first.text);
  });

  it("never shows in the answer to another identity: eight of them, each with its own secret, side by side", async () => {
    await using engine = await LlamaEngine.start(llamaSettings({ parallel: 4, contextTokens: 512 }), 64);
    const secrets = Array.from({ length: 8 }, (_, index) => `SECRET${(index * 7_919 + 10_007).toString(36).toUpperCase()}`);
    const seen: string[] = [];
    await Promise.all(
      secrets.map(async (secret, index) => {
        for (let round = 0; round < 6; round += 1) {
          const text = `My password is ${secret}. Repeat my password ${round % 2 === 0 ? "once" : "twice"}.`;
          const answer = await answerOf(engine, asks(`client ${index}`, text, { tokensMax: 16, temperature: 0 }));
          for (const [other, one] of secrets.entries())
            if (other !== index && answer.text.includes(one)) seen.push(`${index} saw ${other}`);
          if (answer.text.includes(secret)) seen.push("own");
        }
      }),
    );
    expect(seen.filter((one) => one !== "own")).to.deep.equal([]);
    expect(seen).to.include("own"); // so that one that leaked would have been seen
  }).timeout(120_000);
});

describe("places in an engine", () => {
  it("go to the identity that has the fewest, then to who has waited longest", async () => {
    const slots = new Slots(2, 10);
    const order: string[] = [];
    const give = [await slots.take("a", never), await slots.take("a", never)];
    const waiting = ["a", "a", "b", "a", "b"].map(async (identity) => {
      give.push(await slots.take(identity, never));
      order.push(identity);
    });
    while (order.length < 5) {
      give.shift()?.give();
      await pause(1);
    }
    await Promise.all(waiting);
    expect(order).to.deep.equal(["b", "a", "b", "a", "a"]);
  });

  it("go to one identity each where several come free at once", async () => {
    const slots = new Slots(2, 10);
    const held = [await slots.take("c", never), await slots.take("c", never)];
    const order: string[] = [];
    for (const identity of ["a", "a", "b"]) void slots.take(identity, never).then(() => order.push(identity));
    for (const place of held) place.give();
    await pause(1);
    expect(order).to.deep.equal(["a", "b"]);
  });

  it("can't be kept from others by one identity that fills the queue", async () => {
    const slots = new Slots(1, 4);
    await slots.take("a", never);
    const greedy = Array.from({ length: 4 }, () => faultOf(slots.take("a", never)));
    const modest = slots.take("b", never);
    const fault = await greedy[3];
    expect(fault).to.include({ code: "queue_full" });
    const late = await faultOf(slots.take("a", never));
    expect(late.queue?.position).to.equal(5);
    expect(late.queue?.retryAfterMs).to.be.above(0);
    expect(await Promise.race([modest.then(() => "served"), pause(20).then(() => "waits")])).to.equal("waits");
  });

  it("are asked back from what has time one by one, the last that began first", async () => {
    const slots = new Slots(3, 10);
    const aside: Place[] = [];
    for (const identity of ["a", "b", "c"]) aside.push(await slots.take(identity, never, { background: true }));
    const wanted = (): boolean[] => aside.map((place) => place.wanted.aborted);
    const first = slots.take("d", never);
    expect(wanted()).to.deep.equal([false, false, true]);
    const second = slots.take("e", never);
    expect(wanted()).to.deep.equal([false, true, true]);
    aside[2]?.give();
    aside[1]?.give();
    for (const place of await Promise.all([first, second])) place.give();
    aside[0]?.give();
    expect(slots.isIdle).to.equal(true);
  });

  it("that are given back soon are in nobody's way", async () => {
    const slots = new Slots(1, 0);
    const place = await slots.take("a", never);
    expect(await faultOf(slots.take("a", never))).to.include({ code: "queue_full" });
    place.leaving();
    const next = slots.take("a", never);
    place.give();
    (await next).give();
    expect(slots.isIdle).to.equal(true);
  });

  it("are given back, once, by what has time and is not wanted from the beginning", async () => {
    await using engine = await LlamaEngine.start(llamaSettings({ parallel: 1, stallMs: 1_000 }), 1);
    const { pid } = engine;
    const aside = faultOf(engine.generate(asks("a", "Say yes.", { background: true, tokensMax: 2 }), never).next());
    const call = answerOf(engine, asks("b", "Say yes.", { tokensMax: 2 }));
    expect(await aside).to.include({ code: "gave_way" });
    await call;
    await pause(1_600);
    expect([engine.pid, engine.load.busy]).to.deep.equal([pid, 0]);
  });

  it("are free soon after a cancel, also while other prompts are read", async () => {
    await using engine = await LlamaEngine.start(llamaSettings({ parallel: 8, contextTokens: 1024, prefillStepMs: 600 }), 8);
    await answerOf(engine, asks("a", "Warm up.", { tokensMax: 8 }));
    const stop = new AbortController();
    const reading = Array.from({ length: 7 }, (_, index) =>
      faultOf(Array.fromAsync(engine.generate(asks("a", `${index} ${"word ".repeat(900)}`, { tokensMax: 1 }), stop.signal))),
    );
    await pause(300);
    const left = new AbortController();
    const leaving = faultOf(
      (async () => {
        for await (const event of engine.generate(asks("b", `8 ${"word ".repeat(900)}`, { tokensMax: 1 }), left.signal))
          if (event.type === "prompt") setImmediate(() => left.abort(new Error("enough")));
      })(),
    );
    expect(await leaving).to.have.property("message", "enough");
    const stoppedMs = performance.now();
    await firstEvent(engine, asks("c", "Say yes.", { tokensMax: 1 }));
    const tookMs = performance.now() - stoppedMs;
    stop.abort(new Error("over"));
    await Promise.all(reading);
    expect(tookMs).to.be.below(2_000);
  });

  it("are refused with 429, when to come again, and the place in the queue that it would have been", async () => {
    const engine = await LlamaEngine.start(llamaSettings({ parallel: 1 }), 0);
    await using appliance = await startTestAppliance({ engines: [engine] });
    const ask = (): Promise<Reply> =>
      appliance.call("POST", "/v1/chat/completions", { ...userSays("Tell a long story."), max_tokens: 64, temperature: 0 });
    const replies = await Promise.all([ask(), ask()]);
    const [served, refused] = replies.toSorted((a, b) => a.status - b.status);
    expect([served?.status, refused?.status, refused?.body.error.code]).to.deep.equal([200, 429, "queue_full"]);
    expect(refused?.headers["retry-after"]).to.match(/^[1-9]\d*$/u);
    expect(refused?.headers["x-queue-position"]).to.equal("1");
  });

  for (const [where, tokensMax, waitFor] of [
    ["in prefill", 10, "prompt"],
    ["in decode", 900, "text"],
  ] as const) {
    it(`are free within 150 ms after a cancel ${where}`, async () => {
      await using engine = await LlamaEngine.start(llamaSettings({ parallel: 1, prefillStepMs: 60 }), 1);
      await answerOf(engine, asks("a", "Warm up.", { tokensMax: 8 }));
      const text = waitFor === "prompt" ? "word ".repeat(900) : "Tell a long story.";
      const took: number[] = [];
      for (let round = 0; round < 5; round += 1) {
        const stop = new AbortController();
        let next: Promise<number> | undefined;
        const cancelled = (async () => {
          for await (const event of engine.generate(asks("a", `${round} ${text}`, { tokensMax }), stop.signal)) {
            if (event.type !== waitFor || next !== undefined) continue;
            const stoppedMs = performance.now();
            next = firstEvent(engine, asks("a", "Say yes.", { tokensMax: 1 })).then(() => performance.now() - stoppedMs);
            stop.abort(new Error("enough"));
          }
        })();
        await faultOf(cancelled);
        took.push((await next) ?? Number.NaN);
      }
      expect(took.toSorted((a, b) => a - b)[2]).to.be.below(150);
    });
  }
});

describe("sequences", () => {
  const sequence = (): Sequence<number> => ({
    nextTokenIndex: 4,
    compareContextTokens: () => ({ firstDifferentIndex: 0 }),
    adaptStateToTokens: async () => {},
    clearHistory: async () => {},
  });

  it("are taken beside one that computes, once all were used", async () => {
    const sequences = new Sequences<number, Sequence<number>>(Array.from({ length: 4 }, sequence), 100);
    const places = [];
    for (const identity of ["a", "b", "c", "d"]) places.push(await sequences.take(identity, [1, 2]));
    expect(places.map(({ index }) => index)).to.deep.equal([0, 1, 2, 3]);
    for (const at of [2, 0, 3, 1]) await sequences.give(places[at] as (typeof places)[number]);
    const first = await sequences.take("e", [1, 2]);
    const second = await sequences.take("f", [1, 2]);
    expect([first.index, second.index]).to.deep.equal([2, 3]);
  });

  it("are free, and empty, after one that could not be put in order", async () => {
    const failing = sequence();
    failing.clearHistory = () => Promise.reject(new Error("no memory"));
    failing.adaptStateToTokens = failing.clearHistory;
    const sequences = new Sequences<number, Sequence<number>>([failing], 100);
    for (const identity of ["a", "a"])
      expect(await sequences.take(identity, [1, 2], [1]).catch((error: Error) => error.message)).to.equal("no memory");
    failing.clearHistory = async () => {};
    expect(await sequences.take("a", [1, 2], [1])).to.include({ index: 0, owner: "a" });
  });
});

describe("a long prompt", function () {
  this.timeout(60_000);

  it("leaves running answers the share of the time that is theirs", async () => {
    const meanwhile = async (prefillShare: number): Promise<number> => {
      await using engine = await LlamaEngine.start(llamaSettings({ parallel: 2, prefillShare }), 1);
      const stop = new AbortController();
      let tokens = 0;
      const running = faultOf(
        (async () => {
          const asked = asks("a", "Tell a long story.", { tokensMax: 900, temperature: 0 });
          for await (const event of engine.generate(asked, stop.signal)) if (event.type === "text") tokens += event.tokens;
        })(),
      );
      while (tokens < 4) await pause(5);
      const before = tokens;
      await answerOf(engine, asks("b", "word ".repeat(400), { tokensMax: 1 }));
      const during = tokens - before;
      stop.abort(new Error("enough"));
      await running;
      return during;
    };
    const undivided = await meanwhile(1);
    expect(await meanwhile(0.5)).to.be.above(2 * undivided);
  });
});

async function firstEvent(engine: LlamaEngine, generation: Generation): Promise<EngineEvent["type"] | undefined> {
  for await (const event of engine.generate(generation, never)) return event.type;
  return undefined;
}

describe("an engine that gets no further", () => {
  it("is started again, its calls end, and it is told why", async () => {
    const told: string[] = [];
    await using engine = await LlamaEngine.start(llamaSettings({ stallMs: 4_000 }), 8);
    engine.watch({ loaded: () => {}, unloaded: () => {}, failed: () => {}, died: (because) => told.push(because) });
    const { pid } = engine;
    const running = faultOf(answerOf(engine, asks("a", "Tell a long story.", { tokensMax: 900 })));
    await pause(300);
    process.kill(pid ?? 0, "SIGSTOP");
    expect(await running).to.include({ code: "engine_died" });
    expect(told).to.deep.equal(["no progress for 4 s"]);
    expect((await answerOf(engine, asks("a", "Say yes.", { tokensMax: 2 }))).tokens).to.be.above(0);
    expect(engine.pid).to.not.equal(pid);
  });

  it("is left alone where the service itself stood still, and had not read yet what it said", async () => {
    const told: string[] = [];
    await using engine = await LlamaEngine.start(llamaSettings({ stallMs: 1_000 }), 8);
    engine.watch({ loaded: () => {}, unloaded: () => {}, failed: () => {}, died: (because) => told.push(because) });
    const { pid } = engine;
    const running = answerOf(engine, asks("a", "Tell a long story.", { tokensMax: 200 }));
    await pause(300);
    await atOnce(); // timers come next, then what the child said
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_500);
    expect((await running).text).to.not.equal("");
    expect([told, engine.pid]).to.deep.equal([[], pid]);
  });

  it("is left alone while it has nothing to do", async () => {
    await using engine = await LlamaEngine.start(llamaSettings({ stallMs: 1_000 }), 8);
    const { pid } = engine;
    await pause(1_600);
    expect((await answerOf(engine, asks("a", "Say yes.", { tokensMax: 2 }))).tokens).to.be.above(0);
    expect(engine.pid).to.equal(pid);
  });
});

describe("an engine's threads", () => {
  it("are one fewer as soon as another program takes a core, and one more when a core is idle", () => {
    expect([whenDisplaced(2, 1.95), whenDisplaced(2, 1.3), whenDisplaced(2, 0.4), whenDisplaced(1, 0.5)]).to.deep.equal([2, 1, 1, 1]);
    expect([whenDisplaced(16, 15.9), whenDisplaced(16, 15), whenDisplaced(16, 9.5)]).to.deep.equal([16, 15, 9]);
    expect([whenIdle(1, 0.4), whenIdle(1, 0.6), whenIdle(4, 3.1)]).to.deep.equal([1, 2, 7]);
  });
});

describe("a model that does not fit into memory", () => {
  it("is refused with numbers and what to do", async () => {
    const fault = await faultOf(LlamaEngine.start(llamaSettings({ contextTokens: 1_000_000, parallel: 64 }), 0));
    expect(fault.message).to.match(
      /would need 1\d{3}\.\d GB of memory, 0\.1 for itself, 1\d{3}\.\d for 64 calls of 1000000 tokens and 0\.2 to compute/u,
    );
    expect(fault.message).to.match(/GB are free\. Lower engine\.parallel or engine\.context_tokens/u);
  });
});
