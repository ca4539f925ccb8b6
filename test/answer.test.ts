import { expect } from "chai";
import { EchoEngine } from "../models/echo-engine.ts";
import type { Engine, EngineEvent } from "../models/engine.ts";
import { AuditLog } from "../server/audit/audit-log.ts";
import { openAuditDatabase } from "../server/audit/database.ts";
import { createAuditSecret, readAuditKeys } from "../server/audit/keys.ts";
import { Fault } from "../server/fault.ts";
import { ClientGone } from "../server/http/running-calls.ts";
import { answer, type Gates } from "../server/pipeline/answer.ts";
import type { Call } from "../server/pipeline/call.ts";
import { CallRecord } from "../server/pipeline/call-record.ts";
import type { Guard, Prompt, SegmentGuard } from "../server/pipeline/guard.ts";
import { Refusal } from "../server/pipeline/refusal.ts";
import { said, testGates } from "./support/gate.ts";
import { scratchDir } from "./support/scratch.ts";

const policy = { name: "test", sha256: "0" };
// A mark, drawn by chance, may hold a letter back.
const gates = await testGates({ output: { canary: "off" } });

function callOf(text: string): Call {
  return {
    id: "call-1",
    caller: { name: "app", role: "app", serial: "01" },
    endpoint: "chat.completions",
    messages: [said(text)],
    stops: [],
  };
}

interface Ran {
  readonly text: string;
  readonly reason: string | undefined;
  readonly error: unknown;
  /** Kinds and bodies of the log's entries for the call. */
  readonly entries: readonly {
    kind: string;
    body: { outcome?: string; code?: string; decision?: string; findings?: { guard: string }[] };
  }[];
}

interface Settings {
  readonly gates?: Gates;
  readonly engine?: Engine;
  readonly stops?: readonly string[];
  /** Leave after this many texts. */
  readonly leaveAfter?: number;
  readonly signal?: AbortSignal;
  /** Breaks the log at the given moment. */
  readonly breakLog?: "before" | "after the first text";
}

async function run(
  text: string,
  { gates: through = gates, engine = new EchoEngine("echo"), stops = [], leaveAfter, signal, breakLog }: Settings = {},
): Promise<Ran> {
  const dataDir = scratchDir();
  createAuditSecret(dataDir);
  const log = AuditLog.open(dataDir, {});
  const ran = { text: "", reason: undefined as string | undefined, error: undefined as unknown };
  if (breakLog === "before") log.close();
  try {
    const record = new CallRecord(log, { policy, storesText: false, attemptsMax: 1 });
    let texts = 0;
    for await (const event of answer({ ...callOf(text), stops }, through, engine, record, signal ?? new AbortController().signal)) {
      if (event.type === "end") ran.reason = event.reason;
      else if (event.type === "text") {
        ran.text += event.text;
        texts += 1;
        if (breakLog === "after the first text" && texts === 1) log.close();
        if (texts === leaveAfter) break;
      }
    }
  } catch (error) {
    ran.error = error;
  }
  if (breakLog === undefined) log.close();
  const database = openAuditDatabase(log.path, readAuditKeys(dataDir).database, { readonly: true });
  const rows = database
    .prepare<[], { kind: string; body: string }>("SELECT kind, body FROM entries WHERE call = 'call-1' ORDER BY seq")
    .all();
  database.close();
  return { ...ran, entries: rows.map(({ kind, body }) => ({ kind, body: JSON.parse(body) })) };
}

const outcomes = ({ entries }: Ran): string[] => entries.map(({ kind, body }) => `${kind} ${body.outcome ?? body.decision}`);

/** Says `texts`, then does `end`. */
class ScriptedEngine implements Engine {
  readonly model = { id: "scripted", contextTokens: 100, stops: [] };
  readonly notReady = undefined;
  asked = false;
  readonly #texts: readonly string[];
  readonly #end: () => void;

  constructor(texts: readonly string[], end: () => void = () => {}) {
    this.#texts = texts;
    this.#end = end;
  }

  async *generate(): AsyncGenerator<EngineEvent> {
    this.asked = true;
    yield { type: "prompt", tokens: 1, cached: 0 };
    for (const text of this.#texts) yield { type: "text", text, tokens: 1 };
    this.#end();
    yield { type: "end", reason: "stop" };
  }

  tokenise(): Promise<readonly number[]> {
    return Promise.resolve([1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

describe("an answer", () => {
  it("is recorded twice: received before inference, settled before it is done", async () => {
    const ran = await run("one two");
    expect([ran.text, ran.reason, ...outcomes(ran)]).to.deep.equal(["one two", "stop", "received pass", "settled answered"]);
  });

  it("does not begin when the call can't be recorded: the engine is never asked", async () => {
    const engine = new ScriptedEngine(["never"]);
    const ran = await run("one two", { engine, breakLog: "before" });
    expect(ran.error).to.be.instanceOf(Fault).and.to.include({ code: "audit_unavailable" });
    expect([ran.text, engine.asked]).to.deep.equal(["", false]);
  });

  it("does not say it is done when its end can't be recorded", async () => {
    const ran = await run("one two three", { breakLog: "after the first text" });
    expect(ran.error).to.be.instanceOf(Fault).and.to.include({ code: "audit_unavailable" });
    expect(ran.reason).to.equal(undefined);
  });

  it("is blocked by a guard that throws, at either gate, and the record says so", async () => {
    const broken = {
      name: "broken",
      inspect: () => {
        throw new Error("no such model");
      },
    };
    const engine = new ScriptedEngine(["never"]);
    const atInput = await run("one two", { engine, gates: { ...gates, input: [broken] } });
    expect(atInput.error).to.be.instanceOf(Fault).and.to.include({ code: "guard_failed" });
    expect([engine.asked, ...outcomes(atInput)]).to.deep.equal([false, "received failed", "settled failed"]);
    const atOutput = await run("one two", { gates: { ...gates, output: [{ ...broken, wait: (text: string) => text.length }] } });
    expect(atOutput.error).to.be.instanceOf(Fault).and.to.include({ code: "guard_failed" });
    expect([atOutput.text, ...outcomes(atOutput)]).to.deep.equal(["", "received pass", "settled failed"]);
  });

  it("is refused by a guard that blocks, and the engine is never asked", async () => {
    const engine = new ScriptedEngine(["never"]);
    const ran = await run("\b".repeat(50), { engine });
    expect(ran.error).to.be.instanceOf(Refusal).and.to.include({ code: "control_characters" });
    expect([engine.asked, ...outcomes(ran)]).to.deep.equal([false, "received block", "settled refused"]);
  });

  it("ends with content_filter when a guard of the output gate blocks", async () => {
    const ran = await run("hi", { engine: new ScriptedEngine(["fine ", "\b".repeat(9), "x"]) });
    expect([ran.text, ran.reason, ...outcomes(ran)]).to.deep.equal(["fine ", "content_filter", "received pass", "settled answered"]);
  });

  it("is judged as a whole also where a stop text of the caller ends it", async () => {
    const despair = "Since my sister died I can't get out of bed, and last night I cut my arm again just to feel something.";
    const engine = new ScriptedEngine([despair, "\n\n", "More."]);
    const watched = await run("hi", { engine, stops: ["\n\n"] });
    expect([watched.text, watched.reason]).to.deep.equal([despair, "stop"]);
    expect(watched.entries.at(-1)?.body.findings?.map(({ guard }) => guard)).to.deep.equal(["delicate"]);
    const whole: SegmentGuard = {
      name: "whole",
      wait: (text) => text.length,
      inspect: ({ released, last }) => {
        const blocks = last && released.text.includes("secret");
        return blocks ? { action: "block", code: "topic", findings: [] } : { action: "pass", findings: [] };
      },
    };
    const blocking = { ...gates, output: [...gates.output, whole] };
    const told = new ScriptedEngine(["a secret ", "now", "\n\n", "More."]);
    const blocked = await run("hi", { engine: told, gates: blocking, stops: ["\n\n"] });
    expect([blocked.text, blocked.reason]).to.deep.equal(["a secret now", "content_filter"]);
    const fine = await run("hi", { engine: new ScriptedEngine(["fine", "\n\n", "More."]), gates: blocking, stops: ["\n\n"] });
    expect([fine.text, fine.reason]).to.deep.equal(["fine", "stop"]);
  });

  it("whose engine dies is settled as failed", async () => {
    const engine = new ScriptedEngine(["some "], () => {
      throw new Error("killed");
    });
    const ran = await run("hi", { engine });
    expect((ran.error as Error).message).to.equal("killed");
    expect(outcomes(ran)).to.deep.equal(["received pass", "settled failed"]);
  });

  it("whose reader leaves, or whose signal aborts, is settled as cancelled", async () => {
    expect(outcomes(await run("one two three", { leaveAfter: 1 }))).to.deep.equal(["received pass", "settled cancelled"]);
    const stop = new AbortController();
    const engine = new (class extends EchoEngine {
      override async *generate(...asked: Parameters<EchoEngine["generate"]>): ReturnType<EchoEngine["generate"]> {
        for await (const event of super.generate(...asked)) {
          yield event;
          if (event.type === "text") setTimeout(() => stop.abort(new Fault("shutting_down")), 5);
        }
      }
    })("echo", { tokenDelayMs: 20 });
    const ran = await run("The quick brown fox jumps over the lazy dog. ".repeat(10), { engine, signal: stop.signal });
    expect(ran.error).to.include({ code: "shutting_down" });
    expect(outcomes(ran)).to.deep.equal(["received pass", "settled cancelled"]);
  });

  it("that ends while its prompt is judged says why in the log, and asks no engine", async () => {
    const stop = new AbortController();
    const engine = new ScriptedEngine(["some"]);
    const leaving: Guard<Prompt> = {
      name: "leaving",
      async inspect() {
        stop.abort(new ClientGone());
        stop.signal.throwIfAborted();
        return { action: "pass", findings: [] };
      },
    };
    const ran = await run("hi", { engine, gates: { ...gates, input: [leaving] }, signal: stop.signal });
    expect(ran.entries.map(({ body }) => body.code ?? body.decision)).to.deep.equal(["failed", "client_gone"]);
    expect([outcomes(ran).at(-1), engine.asked]).to.deep.equal(["settled cancelled", false]);
  });
});
