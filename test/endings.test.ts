import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect as connectPlain } from "node:net";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { expect } from "chai";
import OpenAI, { type APIError } from "openai";
import { FormData, fetch, request } from "undici";
import { EchoEngine } from "../models/echo-engine.ts";
import { verifyAuditLog } from "../server/audit/verify.ts";
import { misfitIn } from "../server/caller-schema.ts";
import { ClientGone, RunningCalls } from "../server/http/running-calls.ts";
import { prepareData, prose, type Reply, startTestAppliance, userSays } from "./support/appliance.ts";
import { entriesOf } from "./support/entries.ts";
import { type Service, startService } from "./support/service.ts";
import { pause, until } from "./support/until.ts";

const chat = "/v1/chat/completions";
const paced = "models: [{ id: echo, engine: echo, token_delay_ms: 20 }]\n";
/** A policy that lets any length pass, beside the configuration. */
function anyLength(dataDir: string): string {
  writeFileSync(
    join(dataDir, "any-length.yaml"),
    "input: { tokens_max: 1000000, repetition: off, injection: off, delicate: off, personal_data: off }\noutput: { repetition: off, delicate: off }\n",
  );
  return dataDir;
}

/** The service's lines about calls, as objects. */
function callLines({ output }: Service): { code?: string; status: number; path: string; call?: string; id: string }[] {
  return output()
    .split("\n")
    .filter((line) => line.includes('"msg":"call"'))
    .map((line) => JSON.parse(line));
}

/** A raw connection that has asked for something long and reads nothing. */
async function deafReader(service: Service, asked: string): Promise<TLSSocket> {
  const certs = join(service.dataDir, "certs");
  const read = (...path: string[]): Buffer => readFileSync(join(certs, ...path));
  const socket = connect({
    host: "127.0.0.1",
    port: Number(new URL(service.url).port),
    ca: read("ca.pem"),
    cert: read("clients", "app", "cert.pem"),
    key: read("clients", "app", "key.pem"),
  });
  await once(socket, "secureConnect");
  socket.write(asked);
  socket.pause();
  return socket;
}

function streamOf(content: string): string {
  const body = JSON.stringify({ ...userSays(content), stream: true });
  return `POST ${chat} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

describe("a call that ends early", () => {
  it("because its client left is cancelled, in the log and in the record, streaming and not", async () => {
    const service = await startService(prepareData(), paced);
    for (const stream of [true, false]) {
      const leave = new AbortController();
      const left = request(`${service.url}${chat}`, {
        method: "POST",
        dispatcher: service.agent,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ...userSays(prose(400)), stream }),
        signal: leave.signal,
      });
      await until(() => entriesOf(service.dataDir).filter((entry) => entry.kind === "received").length === (stream ? 1 : 2));
      leave.abort();
      await left.then(({ body }) => body.text()).catch(() => {});
    }
    const settledOf = () => entriesOf(service.dataDir).filter((entry) => entry.kind === "settled");
    // The line is written as the connection closes, the entry once the engine has let go.
    await until(() => callLines(service).length === 2 && settledOf().length === 2);
    expect(callLines(service).map((line) => line.code)).to.deep.equal(["client_gone", "client_gone"]);
    const settled = settledOf();
    expect(settled.map(({ body }) => `${body.outcome} ${body.code}`)).to.deep.equal(["cancelled client_gone", "cancelled client_gone"]);
    expect(callLines(service).map((line) => line.call)).to.deep.equal(settled.map((entry) => entry.call));
    expect(service.output()).to.not.match(/"level":[56]0/u);
    await service.end("SIGTERM");
  });

  it("is not begun for a client that left before", async () => {
    const running = new RunningCalls(60_000);
    const { promise: outcome, resolve } = Promise.withResolvers<unknown>();
    const server = createServer(async (_request, response) => {
      await once(response, "close");
      running.run(response as Parameters<RunningCalls["run"]>[0], async () => "begun").then(resolve, resolve);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const socket = connectPlain((server.address() as AddressInfo).port, "127.0.0.1");
    socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await pause(50);
    socket.destroy();
    expect(await outcome).to.be.instanceOf(ClientGone);
    expect(running.count).to.equal(0);
    server.close();
  });

  it("because it takes too long says deadline_exceeded, whole, streamed, and to a client that does not read", async () => {
    const service = await startService(prepareData(), `${paced}limits: { answer_timeout_ms: 400, shutdown_grace_ms: 0 }\n`);
    const whole = await service.call("POST", chat, userSays(prose(100)));
    expect([whole.status, whole.body.error.code]).to.deep.equal([504, "deadline_exceeded"]);
    const streamed = await service.call("POST", chat, { ...userSays(prose(100)), stream: true });
    expect(streamed.text).to.include('"code":"deadline_exceeded"').and.to.not.include("[DONE]");
    await service.end("SIGTERM");
    const fast = await startService(
      anyLength(prepareData()),
      "models: [{ id: echo, engine: echo }]\npolicy: any-length.yaml\nlimits: { answer_timeout_ms: 1500 }\n",
    );
    const socket = await deafReader(fast, streamOf(prose(120_000)));
    await until(() => entriesOf(fast.dataDir).some((entry) => entry.kind === "settled"));
    socket.destroy();
    expect(entriesOf(fast.dataDir).find((entry) => entry.kind === "settled")?.body).to.include({ code: "deadline_exceeded" });
    await until(() => callLines(fast).length === 1);
    expect(callLines(fast)[0]?.code).to.equal("deadline_exceeded");
    expect(fast.output()).to.not.match(/"level":50/u);
    await fast.end("SIGTERM");
  }).timeout(60_000);

  it("because it takes too long is not asked again by an SDK", async () => {
    const dataDir = prepareData();
    await using appliance = await startTestAppliance({
      dataDir,
      engines: [new EchoEngine("echo", { tokenDelayMs: 20 })],
      config: (config) => ({ ...config, limits: { ...config.limits, answer_timeout_ms: 300 } }),
    });
    const stock = new OpenAI({ baseURL: `${appliance.url}/v1`, apiKey: "unused", fetchOptions: { dispatcher: appliance.agent() } });
    const asked = { model: "echo", messages: [{ role: "user" as const, content: prose(100) }] };
    const error = await stock.chat.completions.create(asked).catch((cause: unknown) => cause);
    expect((error as APIError).status).to.equal(504);
    expect(entriesOf(dataDir).filter(({ kind }) => kind === "received")).to.have.length(1);
  });

  it("while its schemas or files are read says deadline_exceeded, and waits for none of them", async () => {
    await using appliance = await startTestAppliance({
      config: (config) => ({ ...config, limits: { ...config.limits, answer_timeout_ms: 300 } }),
    });
    const twice = (name: string): object => ({ allOf: [{ $ref: name }, { $ref: name }] });
    const doubling = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`a${index}`, twice(`#/$defs/a${index + 1}`)]));
    const slow = { $ref: "#/$defs/a0", $defs: { ...doubling, a40: { type: "object" } } };
    const first = misfitIn("{}", slow, "another"); // one is looked at after the other
    const parameters = { type: "object" };
    const file_data = `data:application/json;base64,${Buffer.from(`[${"0,".repeat(350_000)}0]`).toString("base64")}`;
    const toRead: [path: string, body: object][] = [
      [chat, { ...userSays("Hi"), tools: [{ type: "function", function: { name: "a", parameters } }] }],
      ["/v1/messages/count_tokens", { ...userSays("Hi"), tools: [{ name: "a", input_schema: parameters }] }],
      ["/v1/guard/check", { input: [{ role: "user", content: [{ type: "file", file: { file_data } }] }] }],
    ];
    for (const [path, body] of toRead) {
      const startedMs = performance.now();
      const reply = await appliance.call("POST", path, body);
      expect([reply.status, reply.body.error?.code], path).to.deep.equal([504, "deadline_exceeded"]);
      expect(performance.now() - startedMs, path).to.be.below(1_500);
    }
    expect(await first).to.include("takes too long");
  });

  it("because a file takes too long to send, to a client that does not read, is cut off with deadline_exceeded in the log", async () => {
    const service = await startService(prepareData(), "models: [{ id: echo, engine: echo }]\nlimits: { answer_timeout_ms: 1500 }\n");
    const form = new FormData();
    form.set("purpose", "batch");
    form.set("file", new File([`${"x".repeat(999_999)}\n`.repeat(24)], "a.jsonl"));
    const sent = await fetch(`${service.url}/v1/files`, { method: "POST", body: form, dispatcher: service.agent });
    const { id } = (await sent.json()) as { id: string };
    const socket = await deafReader(service, `GET /v1/files/${id}/content HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    const line = () => callLines(service).find(({ path }) => path.endsWith("/content"));
    await until(() => line() !== undefined);
    expect(line()).to.include({ status: 200, code: "deadline_exceeded" });
    expect(service.output()).to.not.match(/"level":50/u);
    socket.destroy();
    await service.end("SIGTERM");
  }).timeout(60_000);

  it("does not keep the service from stopping because a client does not read", async () => {
    const service = await startService(
      anyLength(prepareData()),
      "models: [{ id: echo, engine: echo }]\npolicy: any-length.yaml\nlimits: { shutdown_grace_ms: 100 }\n",
    );
    const socket = await deafReader(service, streamOf(prose(120_000)));
    await until(() => entriesOf(service.dataDir).some((entry) => entry.kind === "received"));
    const startedMs = performance.now();
    expect(await service.end("SIGTERM")).to.equal(0);
    expect(performance.now() - startedMs).to.be.below(5_000);
    socket.destroy();
  });

  it("because the log has no room left is refused with 503, nothing is answered unrecorded, and what was recorded stays whole", async () => {
    const dataDir = prepareData();
    const service = await startService(dataDir, undefined, { fileBytesMax: 256 * 1024 });
    const answered: string[] = [];
    let refused: Reply | undefined;
    for (let call = 0; call < 200 && refused === undefined; call += 1) {
      const reply = await service.call("POST", chat, userSays("one two three"));
      if (reply.status === 200) answered.push(reply.body.id);
      else refused = reply;
    }
    expect([refused?.status, refused?.body.error.code]).to.deep.equal([503, "audit_unavailable"]);
    expect((await service.call("POST", chat, { ...userSays("one two three"), stream: true })).text).to.not.include("[DONE]");
    expect((await service.call("GET", "/healthz")).status).to.equal(200);
    await service.end("SIGKILL");
    expect(answered).to.have.length.above(5);
    expect(verifyAuditLog(dataDir).problems).to.deep.equal([]);
    const settled = new Set(entriesOf(dataDir).flatMap((entry) => (entry.kind === "settled" ? [entry.call] : [])));
    expect(answered.filter((id) => !settled.has(id))).to.deep.equal([]);
  }).timeout(60_000);
});
