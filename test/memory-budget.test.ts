import { closeSync, copyFileSync, existsSync, openSync, readFileSync, readSync, symlinkSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { EngineEvent, EngineFault, Generation } from "../models/engine.ts";
import { LlamaEngine } from "../models/llama-engine.ts";
import type { LlamaSettings } from "../models/llama-protocol.ts";
import { MemoryBudget, type Tenant } from "../models/memory-budget.ts";
import { openEngines } from "../scripts/engines.ts";
import { type Config, readConfig } from "../server/config.ts";
import { type Reply, startTestAppliance, type TestAppliance, userSays } from "./support/appliance.ts";
import { defaultModelFile, llamaSettings, modelsDir } from "./support/model.ts";
import { scratchDir } from "./support/scratch.ts";
import { pause, until } from "./support/until.ts";

const never = new AbortController().signal;
const story = `${"The parcel travels from the house to the door. ".repeat(20)}What travels?`;

const asks = (text: string, tokensMax: number): Generation => ({ turns: [{ role: "user", text }], identity: "app", tokensMax });

const answerOf = (engine: LlamaEngine, tokensMax = 2, signal = never, text = "Say yes."): Promise<EngineEvent[]> =>
  Array.fromAsync(engine.generate(asks(text, tokensMax), signal));

const faultOf = (promise: Promise<unknown>): Promise<EngineFault> =>
  promise.then(
    () => {
      throw new Error("it succeeded");
    },
    (error: unknown) => error as EngineFault, // looked at by the test
  );

const small = (id: string, more: Partial<LlamaSettings> = {}): LlamaSettings =>
  llamaSettings({ id, parallel: 2, contextTokens: 1024, ...more });

/** What one of these models is predicted to take. */
const { bytes } = new LlamaEngine(small("any"), 0);

/** Models that share room for `count` of them, none of them loaded. */
const sharing = (count: number, ids: readonly string[], more: Partial<LlamaSettings> = {}, queueMax = 8): readonly LlamaEngine[] => {
  const memory = new MemoryBudget(bytes * (count + 0.5));
  return ids.map((id) => new LlamaEngine(small(id, more), queueMax, memory));
};

const loaded = (engines: readonly LlamaEngine[]): string[] => engines.filter(({ model }) => model.isLoaded).map(({ model }) => model.id);

async function using(engines: readonly LlamaEngine[], body: (...engines: LlamaEngine[]) => Promise<void>): Promise<void> {
  await using stack = new AsyncDisposableStack();
  for (const engine of engines) stack.use(engine);
  await body(...engines);
}

describe("models within a memory budget", function () {
  this.timeout(120_000);

  it("are loaded by the first call, and unloaded for another: the one called longest ago, process and all", () =>
    using(sharing(2, ["a", "b", "c"]), async (a, b, c) => {
      if (!a || !b || !c) throw new Error("three");
      expect([loaded([a, b, c]), a.pid]).to.deep.equal([[], undefined]);
      await answerOf(a);
      await answerOf(b);
      await until(() => a.isIdle && b.isIdle);
      const { pid } = a;
      expect([loaded([a, b, c]), existsSync(`/proc/${pid}`)]).to.deep.equal([["a", "b"], true]);
      await answerOf(c);
      expect([loaded([a, b, c]), existsSync(`/proc/${pid}`)]).to.deep.equal([["b", "c"], false]);
      await answerOf(b);
      await until(() => b.isIdle && c.isIdle);
      await answerOf(a);
      expect(loaded([a, b, c])).to.deep.equal(["a", "b"]);
      expect([a, b, c].map(({ notReady }) => notReady)).to.deep.equal([undefined, undefined, undefined]);
    }));

  it("are loaded to count a prompt too, and left alone until it is counted", () =>
    using(sharing(1, ["a", "b"]), async (a, b) => {
      if (!a || !b) throw new Error("two");
      const counts = await Promise.all([a, b, a, b].map((engine) => engine.tokenise(asks("Say yes.", 1), never)));
      expect(new Set(counts.map((tokens) => tokens.join(" "))).size).to.equal(1);
      expect(loaded([a, b])).to.have.length(1);
    }));

  it("keep nothing of a call once they were unloaded", () =>
    using(sharing(1, ["a", "b"]), async (a, b) => {
      if (!a || !b) throw new Error("two");
      const cached = async (): Promise<number> => {
        const [prompt] = await answerOf(a, 1, never, story);
        return prompt?.type === "prompt" ? prompt.cached : Number.NaN;
      };
      expect(await cached()).to.equal(0);
      expect(await cached()).to.be.above(100);
      await answerOf(b);
      expect(await cached()).to.equal(0);
    }));

  it("are never unloaded while a call runs or waits: the other one's waits until they rest", () =>
    using(sharing(1, ["a", "b"], { parallel: 1 }), async (a, b) => {
      if (!a || !b) throw new Error("two");
      await answerOf(a);
      const order: string[] = [];
      const ask = (engine: LlamaEngine, name: string): Promise<void> =>
        answerOf(engine, 40).then((events) => void order.push(`${name} ${events.at(-1)?.type}`));
      const calls = [ask(a, "running"), ask(b, "other"), ask(a, "waiting")];
      await pause(50);
      expect([loaded([a, b]), b.load.busy, b.notReady]).to.deep.equal([["a"], 1, undefined]);
      await Promise.all(calls);
      expect(order).to.deep.equal(["running end", "waiting end", "other end"]);
      expect(loaded([a, b])).to.deep.equal(["b"]);
    }));

  it("are not unloaded for a call that has gone: cancelled while it waits, it leaves the queue as it was", () =>
    using(sharing(1, ["a", "b"], { parallel: 1 }), async (a, b) => {
      if (!a || !b) throw new Error("two");
      const running = answerOf(a, 60);
      await until(() => a.model.isLoaded === true);
      const stop = new AbortController();
      const gone = faultOf(answerOf(b, 2, stop.signal));
      await pause(50);
      stop.abort(new Error("left"));
      expect((await gone).message).to.equal("left");
      await running;
      await pause(200);
      expect([loaded([a, b]), b.isIdle]).to.deep.equal([["a"], true]);
      await answerOf(b);
      expect(loaded([a, b])).to.deep.equal(["b"]);
    }));

  it("take turns when many are called at once, and every call is answered", () =>
    using(sharing(2, ["a", "b", "c", "d"]), async (...engines) => {
      const calls = Array.from({ length: 24 }, (_, index) => answerOf(engines[(index * 7) % 4] as LlamaEngine, 4));
      const ends = (await Promise.all(calls)).map((events) => events.at(-1)?.type);
      expect(ends).to.deep.equal(Array(24).fill("end"));
      expect(loaded(engines)).to.have.length(2);
    }));

  it("may be killed while they load: who waited is told, and the next call is answered", () =>
    using(sharing(1, ["a", "b"]), async (a, b) => {
      if (!a || !b) throw new Error("two");
      await answerOf(a);
      await answerOf(b);
      const call = faultOf(answerOf(a));
      await until(() => a.pid !== undefined);
      process.kill(a.pid ?? 0, "SIGKILL");
      const fault = await call;
      expect([fault.code, fault.message]).to.deep.equal(["engine_unavailable", fault.message]);
      expect(fault.message).to.match(
        /can't be loaded: the engine ended on it \(SIGKILL\)\. It was loaded before: is there memory enough\?/u,
      );
      await answerOf(b);
      await until(() => a.notReady === undefined || !a.model.isLoaded);
      await pause(300);
      await answerOf(a);
      expect(a.notReady).to.equal(undefined);
    }));

  it("do not come back beside another that waited for the memory of one that was killed", () =>
    using(sharing(1, ["a", "b"], { parallel: 1 }), async (a, b) => {
      if (!a || !b) throw new Error("two");
      const running = faultOf(answerOf(a, 900, never, "Tell a long story."));
      await until(() => a.model.isLoaded === true && a.load.busy === 1);
      const waiting = answerOf(b);
      await pause(100);
      process.kill(a.pid ?? 0, "SIGKILL");
      expect((await running).code).to.equal("engine_died");
      await waiting;
      await pause(1_500);
      expect([loaded([a, b]), a.pid]).to.deep.equal([["b"], undefined]);
      await answerOf(a);
      expect(loaded([a, b])).to.deep.equal(["a"]);
    }));

  it("are loaded also where another could not be unloaded in order", async () => {
    const memory = new MemoryBudget(1);
    const broken = { bytes: 1, isIdle: true, unload: () => Promise.reject(new Error("it does not end")) };
    const called = (): Tenant => ({ bytes: 1, isIdle: false, unload: async () => {} });
    for (const tenant of [called(), called()]) {
      expect(memory.take(broken)).to.equal(true);
      expect(await memory.wait(tenant)).to.equal(true);
      memory.give(tenant);
    }
  });

  it("take about what was predicted", async () => {
    for (const [parallel, contextTokens] of [
      [1, 256],
      [8, 2048],
    ] as const) {
      await using engine = await LlamaEngine.start(small("a", { parallel, contextTokens }), 0);
      const [, kilobytes] = /^VmRSS:\s+(\d+) kB/mu.exec(readFileSync(`/proc/${engine.pid}/status`, "utf8")) ?? [];
      expect((1024 * Number(kilobytes)) / engine.bytes).to.be.within(0.7, 1.6);
    }
  });

  it("that alone are over it are refused with numbers", () => {
    const memory = new MemoryBudget(0.2e9);
    expect(() => new LlamaEngine(small("large", { contextTokens: 8192, parallel: 64 }), 0, memory)).to.throw(
      /Q4_1\.gguf would need 1\d\.\d GB of memory, 0\.1 for itself, 1\d\.\d for 64 calls of 8192 tokens and 0\.2 to compute, and 0\.2 of the 0\.2 GB that models may take together are free\. Lower engine\.parallel/u,
    );
  });
});

describe("a service with more models than memory", function () {
  this.timeout(120_000);

  const ask = (appliance: TestAppliance, model: string, max_tokens = 2): Promise<Reply> =>
    appliance.call("POST", "/v1/chat/completions", { ...userSays("Tell a long story."), model, max_tokens, temperature: 0 });
  const metricsOf = async (appliance: TestAppliance): Promise<string> =>
    (await appliance.call("GET", "/metrics", undefined, { as: "operator" })).text;

  it("is ready, says what is loaded, and loads the rest when it is asked for", async () => {
    await using appliance = await startTestAppliance({ engines: sharing(1, ["a", "b"]) });
    const loadedNow = async (): Promise<boolean[]> =>
      (await appliance.call("GET", "/v1/models")).body.data.map((one: { loaded: boolean }) => one.loaded);
    expect(await loadedNow()).to.deep.equal([false, false]);
    expect((await ask(appliance, "b")).body.model).to.equal("b");
    expect((await ask(appliance, "a")).body.model).to.equal("a");
    expect(await loadedNow()).to.deep.equal([true, false]);
    expect((await appliance.call("GET", "/readyz")).status).to.equal(200);
    const metrics = await metricsOf(appliance);
    expect(metrics)
      .to.match(/^sallyport_model_loaded\{model="a"\} 1$/mu)
      .and.match(/^sallyport_model_loaded\{model="b"\} 0$/mu);
    for (const model of ["a", "b"]) expect(metrics).to.include(`sallyport_model_load_seconds_count{model="${model}"} 1`);
    expect(metrics).to.not.match(/^sallyport_engine_restarts_total\{/mu);
  });

  it("lets calls for a model that is not loaded wait in its queue, and no more than that, nor for longer than an answer may take", async () => {
    const [a, b] = sharing(1, ["a", "b"], { parallel: 1 }, 1);
    if (!a || !b) throw new Error("two");
    await a.loadNow();
    const config = (same: Config): Config => ({ ...same, limits: { ...same.limits, answer_timeout_ms: 3_000 } });
    await using appliance = await startTestAppliance({ engines: [a, b], config });
    const stop = new AbortController();
    const busy = [1, 2].map(() => faultOf(answerOf(a, 900, stop.signal, "Tell a long story.")));
    const replies = await Promise.all(["b", "b", "b"].map((model) => ask(appliance, model)));
    expect([a.isIdle, a.model.isLoaded, b.isIdle]).to.deep.equal([false, true, true]);
    stop.abort(new Error("enough"));
    await Promise.all(busy);
    const [refused, ...late] = replies.toSorted((a, b) => a.status - b.status);
    expect([refused?.status, refused?.body.error.code, refused?.headers["x-queue-position"]]).to.deep.equal([429, "queue_full", "2"]);
    expect(refused?.headers["retry-after"]).to.match(/^[1-9]\d*$/u);
    for (const { status, body } of late) expect([status, body.error.code]).to.deep.equal([504, "deadline_exceeded"]);
  });

  it("answers with another model while one can't be loaded, says which and why, and loads it when its file is right again", async () => {
    const memory = new MemoryBudget(bytes * 1.5);
    const file = join(scratchDir(), "b.gguf");
    copyFileSync(defaultModelFile, file);
    const engines = [new LlamaEngine(small("a"), 8, memory), new LlamaEngine(small("b", { file }), 8, memory)];
    await using appliance = await startTestAppliance({ engines });
    await ask(appliance, "a");
    harm(file);
    const [refused, other] = await Promise.all([ask(appliance, "b"), pause(100).then(() => ask(appliance, "a"))]);
    expect([refused.status, refused.body.error.code, refused.headers["retry-after"]]).to.deep.equal([503, "engine_unavailable", "5"]);
    expect(refused.text).to.not.include(file);
    expect(other.status).to.equal(200);
    const ready = await appliance.call("GET", "/readyz");
    expect([ready.status, ready.body.checks[0].ok]).to.deep.equal([503, true]);
    expect(ready.body.checks[1].problem).to.include(`${file} does not have the catalogue's SHA-256`);
    harm(file);
    await until(async () => (await ask(appliance, "b")).status === 200, 60_000);
    expect((await appliance.call("GET", "/readyz")).status).to.equal(200);
  });
});

/** Turns a byte in the middle; once more, and it is as it was. */
function harm(file: string): void {
  const handle = openSync(file, "r+");
  const byte = Buffer.alloc(1);
  readSync(handle, byte, 0, 1, 50_000_000);
  writeSync(handle, Buffer.from([(byte[0] ?? 0) ^ 0xff]), 0, 1, 50_000_000);
  closeSync(handle);
}

/** A configuration with the default model under two names. */
function twoModels(more: string): Config {
  const dir = scratchDir();
  const [entry = ""] = /^ {2}- id: smollm2[\s\S]*?(?=\n\n)/mu.exec(readFileSync(join(modelsDir, "catalogue.yaml"), "utf8")) ?? [];
  const named = (id: string): string => entry.replace("smollm2-135m-instruct", id).replace(/file: .*/u, `file: ${id}.gguf`);
  writeFileSync(join(dir, "catalogue.yaml"), `models:\n${named("one")}\n${named("two")}\n`);
  for (const id of ["one", "two"]) symlinkSync(defaultModelFile, join(dir, `${id}.gguf`));
  writeFileSync(join(dir, "sallyport.yaml"), more);
  return readConfig({ SALLYPORT_CONFIG: join(dir, "sallyport.yaml"), SALLYPORT_MODELS: dir });
}

describe("configured models", function () {
  this.timeout(60_000);

  const opened = async (config: string): Promise<(boolean | undefined)[]> => {
    const engines = await openEngines(twoModels(config), never);
    const states = engines.map(({ model }) => model.isLoaded);
    await Promise.all(engines.map((engine) => engine[Symbol.asyncDispose]()));
    return states;
  };
  const light = "engine: { parallel: 1, context_tokens: 256, gpu: off";

  it("are loaded at the start when they come first or say so", async () => {
    expect(await opened(`models: [{ id: one }, { id: two }]\n${light} }\n`)).to.deep.equal([true, false]);
    expect(await opened(`models: [{ id: one, load: use }, { id: two, load: start }]\n${light} }\n`)).to.deep.equal([false, true]);
  });

  it("are refused at the start when one is over the budget, or those of the start are together", async () => {
    const refused = async (models: string, max: number): Promise<string> =>
      (await faultOf(openEngines(twoModels(`models: ${models}\n${light}, memory_bytes_max: ${max} }\n`), never))).message;
    expect(await refused("[{ id: one }, { id: two }]", 100_000_000)).to.match(/one\.gguf would need 0\.\d GB .*0\.1 of the 0\.1 GB/u);
    expect(await refused("[{ id: one }, { id: two, load: start }]", 400_000_000)).to.match(
      /two\.gguf would need 0\.\d GB .*0\.1 of the 0\.4 GB/u,
    );
  });
});
