import { writeFileSync } from "node:fs";
import Anthropic, { RateLimitError } from "@anthropic-ai/sdk";
import { expect } from "chai";
import { parse } from "yaml";
import { EchoEngine } from "../models/echo-engine.ts";
import { AuditLog } from "../server/audit/audit-log.ts";
import { openAuditDatabase } from "../server/audit/database.ts";
import { createAuditSecret, readAuditKeys } from "../server/audit/keys.ts";
import { Fault } from "../server/fault.ts";
import { answer, type Gates } from "../server/pipeline/answer.ts";
import { CallRecord, type RecordContext } from "../server/pipeline/call-record.ts";
import type { Guard, Prompt } from "../server/pipeline/guard.ts";
import { prepareData, startTestAppliance, userSays } from "./support/appliance.ts";
import { said, testGates } from "./support/gate.ts";
import { scratchDir } from "./support/scratch.ts";
import { startService } from "./support/service.ts";
import { noGuards } from "./support/stream.ts";
import { pause } from "./support/until.ts";

const chat = "/v1/chat/completions";
/** Nothing counts the tokens of a prompt either: of ten thousand calls at once that would refuse most. */
const open: Gates = { ...(await testGates(parse(noGuards))), input: [] };
const engine = new EchoEngine("echo");

/** Answers one call under a quota: `answered`, or the code of what refused it. */
async function ask(
  log: AuditLog,
  quota: RecordContext["quota"],
  { name = "app", text = "one two three", tokensMax = 3, gates = open, attemptsMax = 1 } = {},
): Promise<string> {
  const record = new CallRecord(log, { policy: { name: "test", sha256: "0" }, storesText: false, quota, attemptsMax });
  const call = {
    id: `call-${crypto.randomUUID()}`,
    caller: { name, role: "app", serial: "01" },
    endpoint: "chat.completions" as const,
    messages: [said(text)],
    stops: [],
    tokensMax,
  };
  try {
    for await (const _ of answer(call, gates, engine, record, new AbortController().signal));
    return "answered";
  } catch (error) {
    return (error as Fault).code;
  }
}

function newLog(): { dataDir: string; log: AuditLog } {
  const dataDir = scratchDir();
  createAuditSecret(dataDir);
  return { dataDir, log: AuditLog.open(dataDir, {}) };
}

const tally = (codes: readonly string[]): Record<string, number> =>
  Object.fromEntries(Object.entries(Object.groupBy(codes, (code) => code)).map(([code, all]) => [code, all?.length ?? 0]));

describe("a quota", () => {
  it("of N requests lets exactly N of ten thousand calls at once pass, and no more after a restart", async () => {
    const { dataDir, log } = newLog();
    const quota = { window: "month", requests_max: 150 } as const;
    const codes = await Promise.all(Array.from({ length: 10_000 }, () => ask(log, quota)));
    expect(tally(codes)).to.deep.equal({ answered: 150, quota_exceeded: 9_850 });
    expect(await ask(log, quota, { name: "other" }), "each caller has its own").to.equal("answered");
    log.close();
    const again = AuditLog.open(dataDir, {});
    expect(await ask(again, quota)).to.equal("quota_exceeded");
    expect(await ask(again, { ...quota, requests_max: 151 })).to.equal("answered");
    expect(await ask(again, { ...quota, requests_max: 151 })).to.equal("quota_exceeded");
    again.close();
  }).timeout(60_000);

  it("that is used up is found before anything is judged", async () => {
    const { log } = newLog();
    let judged = 0;
    const guard: Guard<Prompt> = {
      name: "counting",
      inspect: () => {
        judged += 1;
        return { action: "pass", findings: [] };
      },
    };
    const gates = { ...open, input: [guard] };
    const quota = { window: "month", requests_max: 1 } as const;
    expect(await ask(log, quota, { gates })).to.equal("answered");
    expect(await ask(log, quota, { gates })).to.equal("quota_exceeded");
    expect(await ask(log, { ...quota, models: ["another"] }, { gates })).to.equal("model_not_allowed");
    expect(judged).to.equal(1);
    log.close();
  });

  it("of tokens is reserved for the most that a call may take, and settled for what it took", async () => {
    const { dataDir, log } = newLog();
    // 13 bytes, 256 for what is put around them and 3 tokens reserved, 3 and 3 used.
    const quota = (tokens_max: number) => ({ window: "month", tokens_max }) as const;
    expect(await ask(log, quota(543), { attemptsMax: 2 })).to.equal("quota_exceeded");
    expect(await ask(log, quota(271))).to.equal("quota_exceeded");
    expect(await ask(log, quota(272))).to.equal("answered");
    expect(await ask(log, quota(277))).to.equal("quota_exceeded");
    expect(await ask(log, quota(278))).to.equal("answered");
    log.close();
    const again = AuditLog.open(dataDir, {});
    expect(await ask(again, quota(283))).to.equal("quota_exceeded");
    expect(await ask(again, quota(284))).to.equal("answered");
    again.close();
  });

  it("counts a call that a crash cut off with all that it had reserved, and one that failed not as a request", async () => {
    const { dataDir, log } = newLog();
    log.append("received", "cut-off", { caller: { name: "app" }, reserved: 100 });
    log.append("received", "failed", { caller: { name: "app" }, reserved: 100 });
    log.append("settled", "failed", { outcome: "failed", usage: { promptTokens: 1, completionTokens: 0 } });
    log.close();
    const again = AuditLog.open(dataDir, {});
    const { quotas } = again;
    expect(() => quotas.reserve("app", { window: "month", tokens_max: 104 }, 4)).to.throw(
      Fault,
      /104 tokens in one month, of which 3 are left/u,
    );
    quotas.reserve("app", { window: "month", tokens_max: 105, requests_max: 2 }, 4);
    expect(() => quotas.reserve("app", { window: "month", requests_max: 2 }, 4)).to.throw(/2 requests in one month/u);
    again.close();
  });

  it("counts what was asked while the policy had none", async () => {
    const { log } = newLog();
    const quota = { window: "month", requests_max: 3 } as const;
    for (const one of [quota, undefined, quota]) expect(await ask(log, one)).to.equal("answered");
    expect(await ask(log, quota)).to.equal("quota_exceeded");
    log.close();
  });

  it("counts what was written while the clock was ahead in its own window only, and a window to its end", () => {
    const { dataDir, log } = newLog();
    for (const call of ["ahead", "last"]) log.append("received", call, { caller: { name: "app" }, reserved: 100 });
    log.close();
    const database = openAuditDatabase(log.path, readAuditKeys(dataDir).database);
    const now = new Date();
    const end = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1) - 1).toISOString();
    for (const [call, at] of [
      ["ahead", "2999-01-01T00:00:00.000Z"],
      ["last", end],
    ])
      database.prepare("UPDATE entries SET at = ? WHERE call = ?").run(at, call);
    database.close();
    const again = AuditLog.open(dataDir, {});
    again.quotas.reserve("app", { window: "month", requests_max: 2 }, 1);
    expect(() => again.quotas.reserve("app", { window: "month", requests_max: 2 }, 1)).to.throw(/2 requests in one month/u);
    again.close();
  });

  it("of streams bounds the calls of a caller that are answered at the same time", () => {
    const { log } = newLog();
    const quota = { window: "day", streams_max: 2 } as const;
    const [first] = [log.quotas.reserve("app", quota, 1), log.quotas.reserve("app", quota, 1)];
    expect(() => log.quotas.reserve("app", quota, 1)).to.throw(/2 calls at the same time/u);
    log.quotas.reserve("other", quota, 1);
    log.quotas.settle(first ?? expect.fail(), 1, true);
    log.quotas.reserve("app", quota, 1);
    log.close();
  });

  it("names the models that a caller may ask", async () => {
    const { log } = newLog();
    expect(await ask(log, { window: "day", models: ["large"] })).to.equal("model_not_allowed");
    expect(await ask(log, { window: "day", models: ["large", "echo"] })).to.equal("answered");
    log.close();
  });

  it("is a fault 429 with the seconds until the window ends, in the policy of each caller", async () => {
    await using appliance = await startTestAppliance({ policy: `quota: { window: day, requests_max: 5 }\n${noGuards}` });
    const replies = await Promise.all(Array.from({ length: 40 }, () => appliance.call("POST", chat, userSays("one"))));
    expect(tally(replies.map(({ status }) => String(status)))).to.deep.equal({ 200: 5, 429: 35 });
    const refused = replies.find(({ status }) => status === 429);
    expect(refused?.body.error).to.include({
      code: "quota_exceeded",
      type: "rate_limit_error",
      message: "The quota of this caller is used up: 5 requests in one day.",
    });
    expect(Number(refused?.headers["retry-after"])).to.be.within(1, 86_400);
    expect((await appliance.call("POST", chat, userSays("one"), { as: "operator" })).status).to.equal(200);
  });

  it("that is used up, or alone too small, keeps no SDK waiting", async () => {
    await using appliance = await startTestAppliance({
      policy: `quota: { window: month, requests_max: 1, tokens_max: 2000 }\n${noGuards}`,
    });
    const client = new Anthropic({ baseURL: appliance.url, apiKey: "unused", fetchOptions: { dispatcher: appliance.agent() } });
    const asked = { model: "echo", messages: [{ role: "user" as const, content: "one" }] };
    const failed = (max_tokens: number): Promise<unknown> =>
      client.messages.create({ ...asked, max_tokens }, { signal: AbortSignal.timeout(1_000) }).catch((error: unknown) => error);
    const isToldAtOnce = async (max_tokens: number, waits: boolean): Promise<void> => {
      const error = await failed(max_tokens);
      expect(error).to.be.instanceOf(RateLimitError);
      const { headers } = error as RateLimitError;
      expect([headers.has("retry-after"), headers.get("x-should-retry")]).to.deep.equal([waits, "false"]);
    };
    await isToldAtOnce(5_000, false);
    expect(await failed(8)).to.include({ stop_reason: "end_turn" });
    await isToldAtOnce(8, true);
  });

  it("of streams may be waited for", async () => {
    const slow = new EchoEngine("echo", { tokenDelayMs: 20 });
    await using appliance = await startTestAppliance({ engines: [slow], policy: `quota: { window: month, streams_max: 1 }\n${noGuards}` });
    const first = appliance.call("POST", chat, userSays("one ".repeat(50)));
    const second = await appliance.call("POST", chat, userSays("one ".repeat(50)));
    const [refused] = [await first, second].filter(({ status }) => status === 429);
    expect([refused?.headers["retry-after"], refused?.headers["x-should-retry"]]).to.deep.equal(["1", undefined]);
  });

  it("that is used up, or does not name the model, is told before a file is read", async () => {
    const engines = [engine, new EchoEngine("other")];
    await using appliance = await startTestAppliance({
      engines,
      policy: `quota: { window: day, requests_max: 1, models: [echo] }\n${noGuards}`,
    });
    const file_data = "data:application/pdf;base64,JVBERg==";
    const unreadable = [{ role: "user", content: [{ type: "file", file: { file_data } }] }];
    const ask = async (path: string, body: object): Promise<[number, string]> => {
      const reply = await appliance.call("POST", path, body);
      return [reply.status, reply.body.error?.code];
    };
    expect(await ask(chat, { messages: unreadable, model: "other" })).to.deep.equal([403, "model_not_allowed"]);
    expect(await ask(chat, { messages: unreadable })).to.deep.equal([400, "invalid_value"]);
    expect(await ask(chat, userSays("one"))).to.deep.equal([200, undefined]);
    expect(await ask(chat, { messages: unreadable })).to.deep.equal([429, "quota_exceeded"]);
    expect(await ask("/v1/guard/check", { input: unreadable })).to.deep.equal([429, "quota_exceeded"]);
    const input = [{ role: "user", content: [{ type: "input_file", filename: "a.pdf", file_data }] }];
    expect(await ask("/v1/responses/input_tokens", { input })).to.deep.equal([429, "quota_exceeded"]);
  });

  it("never gives more than N when the service is killed in between, again and again", async () => {
    const dataDir = prepareData();
    writeFileSync(`${dataDir}/policy.yaml`, `quota: { window: month, requests_max: 60 }\n${noGuards}`);
    let answered = 0;
    let refused = 0;
    for (let kill = 0; kill < 6; kill += 1) {
      const service = await startService(dataDir, "models: [{ id: echo, engine: echo, token_delay_ms: 5 }]\npolicy: policy.yaml\n");
      const callers = Array.from({ length: 4 }, async () => {
        for (;;) {
          const { status } = await service.call("POST", chat, userSays("one two three"));
          if (status === 200) answered += 1;
          if (status === 429) {
            refused += 1;
            return;
          }
        }
      });
      const ended = Promise.allSettled(callers);
      await (kill < 5 ? pause(150) : ended);
      await service.end("SIGKILL");
      await ended;
    }
    expect(answered).to.be.within(20, 60);
    expect(refused).to.be.above(0);
  }).timeout(120_000);
});
