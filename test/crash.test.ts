import { readdirSync, readFileSync } from "node:fs";
import { expect } from "chai";
import { request } from "undici";
import { verifyAuditLog } from "../server/audit/verify.ts";
import { eventsOf, prepareData, prose, userSays } from "./support/appliance.ts";
import { entriesOf } from "./support/entries.ts";
import { type Service, startService } from "./support/service.ts";
import { pause, until } from "./support/until.ts";

const chat = "/v1/chat/completions";

describe("a killed engine", () => {
  it("ends eight streams with an error and a settled record, and the next call is answered within five seconds", async () => {
    const dataDir = prepareData();
    const service = await startService(dataDir, "models: [{ id: smollm2-135m-instruct }]\n");
    const streams = Array.from({ length: 8 }, () => firstTextOf(service, "Tell a long story."));
    const readers = await Promise.all(streams);
    process.kill(engineOf(service), "SIGKILL");
    for (const text of await Promise.all(readers.map((rest) => rest()))) {
      const events = eventsOf(text);
      expect(events.at(-1).error).to.include({ type: "server_error", code: "engine_died" });
      expect(text).to.not.include("[DONE]");
    }
    const killedMs = performance.now();
    expect((await service.call("POST", chat, { ...userSays("Say yes."), max_tokens: 3 })).status).to.equal(200);
    expect(performance.now() - killedMs).to.be.below(5_000);
    expect(await service.end("SIGTERM")).to.equal(0);
    const settled = entriesOf(dataDir).filter((entry) => entry.kind === "settled");
    expect(settled.map(({ body }) => body.code ?? body.outcome)).to.deep.equal([...Array(8).fill("engine_died"), "answered"]);
    expect(verifyAuditLog(dataDir).problems).to.deep.equal([]);
  }).timeout(60_000);
});

describe("a killed service", () => {
  it("twenty times over, leaves a log that verifies, and no acknowledged answer without its entries", async () => {
    const dataDir = prepareData();
    const acknowledged = new Set<string>();
    for (let kill = 0; kill < 20; kill += 1) {
      const service = await startService(dataDir, "models: [{ id: echo, engine: echo, token_delay_ms: 1 }]\n");
      const stop = new AbortController();
      const callers = Array.from({ length: 4 }, async (): Promise<void> => {
        while (!stop.signal.aborted) {
          const { body } = await service.call("POST", chat, userSays("one two three four five"));
          acknowledged.add(body.id);
        }
      });
      const ended = Promise.allSettled(callers);
      await pause(40 + kill * 25); // in the first moments one thread judges, and little is answered
      await service.end("SIGKILL");
      stop.abort();
      await ended;
      expect(verifyAuditLog(dataDir).problems, `after kill ${kill + 1}`).to.deep.equal([]);
    }
    const entries = entriesOf(dataDir);
    const callsWith = (kind: string): Set<string> => new Set(entries.filter((entry) => entry.kind === kind).map((entry) => entry.call));
    const [received, settled] = [callsWith("received"), callsWith("settled")];
    expect(acknowledged.size).to.be.above(20);
    expect([...acknowledged].filter((id) => !received.has(id) || !settled.has(id))).to.deep.equal([]);
  }).timeout(120_000);
});

describe("Ctrl-C and SIGTERM", () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it(`${signal} ends running streams cleanly, settles them, and the exit status is 0`, async () => {
      const dataDir = prepareData();
      const config = "models: [{ id: echo, engine: echo, token_delay_ms: 20 }]\nlimits: { shutdown_grace_ms: 200 }\n";
      const service = await startService(dataDir, config);
      const short = service.call("POST", chat, { ...userSays("one two three"), stream: true });
      const long = service.call("POST", chat, { ...userSays(prose(190)), stream: true });
      await until(() => entriesOf(dataDir).filter((entry) => entry.kind === "received").length === 2);
      await pause(60);
      expect(await service.end(signal)).to.equal(0);
      expect((await short).text).to.include("[DONE]");
      expect(eventsOf((await long).text).at(-1).error).to.include({ code: "shutting_down" });
      expect(service.output()).to.match(/Stopping …[\s\S]*Stopped\./u);
      const settled = entriesOf(dataDir).filter((entry) => entry.kind === "settled");
      expect(settled.map(({ body }) => body.outcome)).to.have.members(["answered", "cancelled"]);
      expect(entriesOf(dataDir).at(-1)?.kind).to.equal("stopped");
    });
  }

  it("leaves no engine behind, even when the service is killed", async () => {
    const service = await startService(prepareData(), "models: [{ id: smollm2-135m-instruct }]\n");
    const engine = engineOf(service);
    await service.end("SIGKILL");
    await until(() => !readdirSync("/proc").includes(String(engine)));
  });
});

/** Begins a stream; once its first text is there, returns how to read all of it. */
async function firstTextOf(service: Service, prompt: string): Promise<() => Promise<string>> {
  const { body } = await request(`${service.url}${chat}`, {
    method: "POST",
    dispatcher: service.agent,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...userSays(prompt), stream: true, max_tokens: 800 }),
  });
  let text = "";
  const chunks = body[Symbol.asyncIterator]();
  while (!/"content":"[^"]/u.test(text)) {
    const { value, done } = await chunks.next();
    if (done) throw new Error(`the stream ended without a text: ${text}`);
    text += String(value);
  }
  return async () => {
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) text += String(next.value);
    return text;
  };
}

/** Process id of the service's engine child. */
function engineOf({ child }: Service): number {
  const found = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ").map(Number);
  const [engine] = found.filter((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("llama-child"));
  if (engine === undefined) throw new Error("the service has no engine child");
  return engine;
}
