import {
  closeSync,
  copyFileSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { EchoEngine } from "../models/echo-engine.ts";
import type { Engine, EngineEvent, EngineFault, Generation } from "../models/engine.ts";
import { LlamaEngine } from "../models/llama-engine.ts";
import { TokenText } from "../models/token-text.ts";
import { CallReader } from "../models/tool-calls.ts";
import { sha256Of } from "../models/verify-file.ts";
import { defaultModelFile, llamaSettings } from "./support/model.ts";
import { scratchDir } from "./support/scratch.ts";
import { pause, until } from "./support/until.ts";

const never = new AbortController().signal;

const says = (text: string, more: Partial<Generation> = {}): Generation => ({ turns: [{ role: "user", text }], identity: "app", ...more });

async function answerOf(
  engine: Engine,
  generation: Generation,
  signal = never,
): Promise<{ text: string; tokens: number; last: EngineEvent | undefined }> {
  let text = "";
  let tokens = 0;
  let last: EngineEvent | undefined;
  for await (const event of engine.generate(generation, signal)) {
    if (event.type === "text") {
      text += event.text;
      tokens += event.tokens;
    }
    last = event;
  }
  return { text, tokens, last };
}

/** What a promise was rejected with. */
async function faultOf(promise: Promise<unknown>): Promise<EngineFault> {
  return await promise.then(
    () => {
      throw new Error("it succeeded");
    },
    (error: unknown) => error as EngineFault, // looked at by the test
  );
}

describe("the echo engine", () => {
  it("answers with the last user message, word by word", async () => {
    const events = await Array.fromAsync(new EchoEngine("echo").generate(says(" one  two\nthree "), never));
    expect(events.map((event) => (event.type === "text" ? event.text : event.type))).to.deep.equal([
      "prompt",
      " one",
      "  two",
      "\nthree",
      " ",
      "end",
    ]);
  });
});

describe("what turns tokens into text", () => {
  it("keeps characters whole, however their bytes are spread over tokens", () => {
    const tokens = ["f09f98", "80f09f", "9880f0", "9f98", "80f09f98", "80"].map((hex) => Buffer.from(hex, "hex"));
    const model = { detokenize: (open: readonly Buffer[]) => Buffer.concat(open).toString() };
    const text = new TokenText<Buffer>(model, []);
    let out = "";
    for (const token of tokens)
      text.add(token, (piece) => {
        out += piece;
      });
    expect(out).to.equal("\u{1f600}".repeat(4));
    const whole = out.length;
    for (const token of ["ff", "fe", "ff", "fe", "ff", "fe", "ff"])
      text.add(Buffer.from(token, "hex"), (piece) => {
        out += piece;
      });
    expect(out.length, "what is broken for good is not waited for").to.be.greaterThan(whole);
  });

  it("knows a call whose mark ends in a token with line breaks or other white space", () => {
    for (const mark of ["<tool_call>", "<tool_call>\n", "<tool_call>\n\n", "<tool_call>\r\n", "<tool_call> "]) {
      const reader = new CallReader({ offered: [{ name: "f", parameters: {}, strict: true }], required: false, parallel: true });
      reader.add("<tool_call", 1);
      expect(reader.isAtCall).to.equal(false);
      reader.add(mark.slice("<tool_call".length), 1);
      expect(reader.isAtCall, JSON.stringify(mark)).to.equal(true);
      reader.add("{", 1);
      expect([reader.isAtCall, reader.isInCall]).to.deep.equal([false, true]);
    }
  });
});

describe("the llama.cpp engine", () => {
  let engine: LlamaEngine;
  before(async () => {
    engine = await LlamaEngine.start(llamaSettings(), 64);
  });
  after(() => engine[Symbol.asyncDispose]());

  it("answers with the real model, the same for the same seed", async () => {
    const asked = says("What is the capital of France?", { tokensMax: 24, seed: 7 });
    const first = await answerOf(engine, asked);
    expect(first.text).to.include("Paris");
    expect((await answerOf(engine, asked)).text).to.equal(first.text);
  });

  it("ends with `length` after exactly as many tokens as allowed", async () => {
    const { tokens, last } = await answerOf(engine, says("Count to one hundred.", { tokensMax: 10 }));
    expect({ tokens, last }).to.deep.equal({ tokens: 10, last: { type: "end", reason: "length" } });
  });

  it("refuses a schema that asks for a character which the model can't write, and nobody else notices", async () => {
    const { pid } = engine;
    const other = answerOf(engine, says("Count to ten.", { tokensMax: 24 }));
    for (const schema of [{ const: "\u{40000}" }, { type: "string", pattern: "^[\u{40000}-\u{50000}]{2}$" }]) {
      const fault = await faultOf(answerOf(engine, says("a", { schema, temperature: 0.2, tokensMax: 40 })));
      expect(fault).to.include({ code: "schema_unsupported" });
      expect(fault.message).to.include("U+40000");
    }
    const { text } = await answerOf(engine, says("a", { schema: { const: "Zürich, 東京, \u{1f600}\\" }, tokensMax: 80 }));
    expect(JSON.parse(text)).to.equal("Zürich, 東京, \u{1f600}\\");
    expect((await other).last?.type).to.equal("end");
    expect(engine.pid).to.equal(pid);
  });

  it("makes no more of a schema that it reads for the first time than an answer needs", async () => {
    await using own = await LlamaEngine.start(llamaSettings({ parallel: 1 }), 1);
    const memory = (): number => Number(/VmRSS:\s+(\d+)/u.exec(readFileSync(`/proc/${own.pid}/status`, "utf8"))?.[1]);
    const grown = async (lengths: readonly number[]): Promise<number> => {
      const before = memory();
      for (const maxLength of lengths) {
        const names = Array.from({ length: 45 }, (_, index) => `p${index}`);
        const properties = Object.fromEntries(names.map((name) => [name, { type: "string", maxLength }]));
        await answerOf(own, says("a", { schema: { type: "object", properties, required: names }, tokensMax: 1 }));
      }
      return memory() - before;
    };
    await grown([1]);
    const lengths = Array.from({ length: 8 }, (_, index) => 900 + index);
    const [fresh, known] = [await grown(lengths), await grown(lengths)];
    expect(known).to.be.above(10_000);
    expect(fresh).to.be.below(known * 1.5);
  });

  it("takes a control token in a message for text", async () => {
    const count = async (text: string): Promise<number> => {
      for await (const event of engine.generate(says(text, { tokensMax: 1 }), never)) if (event.type === "prompt") return event.tokens;
      return 0;
    };
    expect((await count("<|im_end|>")) - (await count(""))).to.be.above(1);
  });

  it("refuses a prompt that does not fit, with exact counts, and never cuts it", async () => {
    const fault = await faultOf(answerOf(engine, says("word ".repeat(1_100), { tokensMax: 10 })));
    expect(fault).to.include({ code: "context_length_exceeded" });
    expect(fault.message).to.match(/context is 1024 tokens; the messages take 1\d\d\d and the answer may take 10/u);
  });

  it("refuses what can't fit before running answers wait for it", async () => {
    const offered = [{ name: "f", description: "word ".repeat(200_000), parameters: {}, strict: false }];
    const tools = { offered, choice: "auto", required: false, parallel: true };
    const begunMs = performance.now();
    for (const reading of [
      answerOf(engine, { ...says("Hi", { tokensMax: 10 }), tools } as never),
      engine.tokenise({ ...says("Hi"), tools } as never, never),
      engine.tokenise({ turns: [], text: "a".repeat(1_000_000), identity: "app" }, never),
    ])
      expect(await faultOf(reading)).to.include({ code: "context_length_exceeded" });
    expect(performance.now() - begunMs).to.be.below(500);
  });

  it("reads one prompt at a time that is only to be counted: one that leaves is not read, and no more wait than may", async () => {
    await using own = await LlamaEngine.start(llamaSettings({ parallel: 2, contextTokens: 4096 }), 1);
    const ended: string[] = [];
    const read = (name: string, signal = never, text = "word \u00fc ".repeat(10_000)): Promise<void> =>
      own.tokenise({ turns: [], text, identity: name }, signal).then(
        (tokens) => void ended.push(`${name} ${tokens.length > 0}`),
        (error: EngineFault | Error) => void ended.push(`${name} ${"code" in error ? error.code : error.message}`),
      );
    const [sent, waits] = [new AbortController(), new AbortController()];
    const first = read("first", sent.signal);
    const second = read("second", waits.signal);
    await read("third");
    expect(ended, "one more than may wait").to.deep.equal(["third queue_full"]);
    waits.abort(new Error("left"));
    await second;
    const fourth = read("fourth");
    sent.abort(new Error("gone"));
    await first;
    expect(own.isIdle, "the child reads what nobody waits for any more").to.equal(false);
    await read("fifth");
    await fourth;
    await read("sixth");
    expect(ended.slice(1)).to.deep.equal(["second left", "first gone", "fifth queue_full", "fourth true", "sixth true"]);
    await until(() => own.isIdle);
    const last = [read("seventh"), read("eighth")];
    process.kill(own.pid ?? 0, "SIGKILL");
    await Promise.all(last);
    expect(ended.slice(6)).to.deep.equal(["seventh engine_died", "eighth true"]);
  });

  it("cancels in prefill and in decode, and the only place is free again", async () => {
    await using single = await LlamaEngine.start(llamaSettings({ parallel: 1 }), 1);
    for (const [generation, waitFor] of [
      [says("word ".repeat(900), { tokensMax: 50 }), "prompt"],
      [says("Tell a long story.", { tokensMax: 900 }), "text"],
    ] as const) {
      const stop = new AbortController();
      const seen: string[] = [];
      const startedMs = performance.now();
      const fault = await faultOf(
        (async () => {
          for await (const event of single.generate(generation, stop.signal)) {
            seen.push(event.type);
            if (event.type === waitFor) stop.abort(new Error("enough"));
          }
        })(),
      );
      expect(fault.message).to.equal("enough");
      expect(seen).to.not.include("end");
      expect(performance.now() - startedMs).to.be.below(5_000);
      expect((await answerOf(single, says("Say yes.", { tokensMax: 3 }))).tokens).to.be.above(0);
    }
  });

  it("cancels in the queue, refuses when the queue is full, and serves the others in order", async () => {
    await using narrow = await LlamaEngine.start(llamaSettings({ parallel: 1 }), 2);
    const ended: string[] = [];
    const ask = (name: string, signal = never): Promise<void> =>
      answerOf(narrow, says("Tell a long story.", { tokensMax: 40 }), signal).then(
        () => void ended.push(name),
        (error: EngineFault | Error) => void ended.push(`${name} ${"code" in error ? error.code : error.message}`),
      );
    const stop = new AbortController();
    const running = ask("first");
    const waiting = ask("second", stop.signal);
    const next = ask("third");
    const tooMany = ask("fourth");
    stop.abort(new Error("left"));
    await Promise.all([running, waiting, next, tooMany]);
    expect(ended).to.deep.equal(["fourth queue_full", "second left", "first", "third"]);
  });

  it("whose child is killed under eight streams ends all eight, and answers the next call within five seconds", async () => {
    const calls = Array.from({ length: 8 }, () => faultOf(answerOf(engine, says("Tell a long story.", { tokensMax: 900 }))));
    await pause(500);
    process.kill(engine.pid ?? 0, "SIGKILL");
    const faults = await Promise.all(calls);
    expect(faults.map((fault) => fault.code)).to.deep.equal(Array(8).fill("engine_died"));
    const killedMs = performance.now();
    expect((await answerOf(engine, says("Say yes.", { tokensMax: 3 }))).tokens).to.be.above(0);
    expect(performance.now() - killedMs).to.be.below(5_000);
  });

  it("tries again, more slowly each time, when the child keeps dying; what waits is told when it is over", async () => {
    const pids = new Set<number>();
    for (let death = 0; death < 2; death += 1) {
      await until(() => engine.pid !== undefined && !pids.has(engine.pid));
      pids.add(engine.pid ?? 0);
      process.kill(engine.pid ?? 0, "SIGKILL");
      await until(() => engine.notReady !== undefined);
      expect(engine.notReady).to.match(/is being started again/u);
    }
    await until(() => engine.notReady === undefined, 15_000);
    expect((await answerOf(engine, says("Say yes.", { tokensMax: 3 }))).tokens).to.be.above(0);
  });

  it("takes no harm from calls and cancels that reach for a child that has just died", async () => {
    await using own = await LlamaEngine.start(llamaSettings({ parallel: 4 }), 100);
    process.kill(own.pid ?? 0, "SIGKILL");
    // Until the end of the process is known, its pipe still looks open.
    const stop = new AbortController();
    const blockedUntilMs = performance.now() + 100;
    while (performance.now() < blockedUntilMs);
    const calls = Array.from({ length: 20 }, (_, index) =>
      answerOf(own, says("Say yes.", { tokensMax: 1 }), index % 2 === 0 ? stop.signal : never).catch(() => {}),
    );
    stop.abort(new Error("left"));
    await Promise.all(calls);
    expect((await answerOf(own, says("Say yes.", { tokensMax: 3 }))).tokens).to.be.above(0);
  });

  it("ends the calls that run when it is closed", async () => {
    const own = await LlamaEngine.start(llamaSettings(), 100);
    const events = own.generate(says("Tell a long story.", { tokensMax: 900 }), never);
    await events.next();
    const [running] = [faultOf(Array.fromAsync(events)), await own[Symbol.asyncDispose]()];
    expect((await running).code).to.equal("engine_died");
  });

  it("decodes on one pool thread", () => {
    expect(readFileSync(`/proc/${engine.pid}/environ`, "utf8").split("\0")).to.include("UV_THREADPOOL_SIZE=1");
  });

  it("holds no socket: its child has no connection but the pipe to its parent", () => {
    const held = readdirSync(`/proc/${engine.pid}/fd`)
      .map((fd) => /^socket:\[(\d+)\]$/u.exec(readlinkSync(`/proc/${engine.pid}/fd/${fd}`))?.[1])
      .filter((inode) => inode !== undefined);
    const network = ["tcp", "tcp6", "udp", "udp6"].map((table) => readFileSync(`/proc/${engine.pid}/net/${table}`, "utf8")).join("");
    expect(held).to.have.length.above(0);
    expect(held.filter((inode) => new RegExp(`\\s${inode}\\s`, "u").test(network))).to.deep.equal([]);
  });
});

describe("an engine whose process can't be started", () => {
  it("refuses calls, harms nothing else, and is tried again, more slowly each time", async () => {
    // Linux takes no argument of more than 128 KiB: `fork` throws then, as where memory is short.
    await using engine = new LlamaEngine(llamaSettings({ template: "x".repeat(200_000) }), 8);
    const failed: string[] = [];
    engine.watch({ loaded: () => {}, unloaded: () => {}, died: () => {}, failed: (because) => failed.push(because) });
    for (const asked of [engine.loadNow(), answerOf(engine, says("Say yes."))]) {
      const fault = await faultOf(asked);
      expect([fault.code, fault.message]).to.deep.equal(["engine_unavailable", failed[0]]);
    }
    await until(() => failed.length > 2);
    expect(new Set(failed).size).to.equal(1);
    expect(failed[0]).to.include("E2BIG");
  });
});

describe("a model file that can't be loaded is refused with a sentence that says what to do:", () => {
  const start = (file: string, more: object = {}): Promise<EngineFault> =>
    faultOf(LlamaEngine.start({ ...llamaSettings(), file, ...more }, 0));

  it("missing", async () => {
    const { message } = await start(join(scratchDir(), "gone.gguf"));
    expect(message).to.match(/gone\.gguf is missing\. Fetch it: npx sallyport models pull smollm2-135m-instruct$/u);
  });

  it("cut off", async () => {
    const file = join(scratchDir(), "cut.gguf");
    copyFileSync(defaultModelFile, file);
    truncateSync(file, 50_000_000);
    expect((await start(file)).message).to.match(/has 50000000 bytes instead of the catalogue's 98362432: it is cut off.*Fetch it/u);
    // Pinned as it is, llama.cpp itself has to notice.
    const pinned = { bytes: 50_000_000, sha256: await sha256Of(file) };
    expect((await start(file, pinned)).message).to.match(/llama\.cpp can't load .*cut\.gguf.*damaged or not a model: fetch it again/u);
  });

  it("not the pinned hash", async () => {
    const file = join(scratchDir(), "altered.gguf");
    copyFileSync(defaultModelFile, file);
    const handle = openSync(file, "r+");
    writeSync(handle, Buffer.from([0xff]), 0, 1, 90_000_000);
    closeSync(handle);
    expect((await start(file)).message).to.match(/does not have the catalogue's SHA-256: it was altered or damaged\. Fetch it/u);
  });

  it("of an architecture that llama.cpp does not know", async () => {
    const file = join(scratchDir(), "future.gguf");
    const bytes = readFileSync(defaultModelFile);
    const at = bytes.indexOf("general.architecture");
    const value = bytes.indexOf("llama", at);
    bytes.write("wxyza", value);
    writeFileSync(file, bytes);
    const pinned = { bytes: bytes.length, sha256: await sha256Of(file) };
    expect((await start(file, pinned)).message).to.match(/unknown model architecture.*use another one/u);
  });
});
