import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { Fault } from "../server/fault.ts";
import { data, eventStream, type Frames } from "../server/http/event-stream.ts";
import type { AnswerEvent } from "../server/pipeline/call.ts";

const usage = { promptTokens: 1, cachedTokens: 0, completionTokens: 1 };

/** Nothing leaves while a call is composed. */
async function* silent(): AsyncGenerator<AnswerEvent> {
  yield { type: "text", text: "Sure.", usage };
  await pause(400);
  yield { type: "end", reason: "stop", usage };
}

describe("a stream of events", () => {
  const frames: Frames = { text: (text) => data({ text }), end: data, failed: ({ body }) => data(body) };
  it("that nobody reads is closed some seconds after its call was ended", async () => {
    async function* endless(): AsyncGenerator<AnswerEvent> {
      for (;;) yield { type: "text", text: "x".repeat(65_536), usage };
    }
    const stop = new AbortController();
    const { promise: closed, resolve: close } = Promise.withResolvers<void>();
    const server = createServer((_request, plain) => {
      const response = Object.assign(plain, { locals: {} }) as Parameters<typeof eventStream>[2];
      response.once("close", close);
      void eventStream(endless(), frames, response, stop.signal);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1").on("error", () => {});
    try {
      socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      await pause(500);
      stop.abort(new Fault("deadline_exceeded"));
      const endedMs = performance.now();
      await closed;
      expect(performance.now() - endedMs).to.be.within(4_500, 8_000);
    } finally {
      socket.destroy();
      server.close();
    }
  }).timeout(20_000);

  for (const [what, more, between] of [
    ["a comment", {}, ": \n\n"],
    ["what the API has for it", { pause: "event: ping\n\n" }, "event: ping\n\n"],
  ] as const) {
    it(`holds ${what} while nothing leaves, and only then`, async () => {
      const server = createServer((_request, response) => {
        void eventStream(silent(), { ...frames, ...more }, response as Parameters<typeof eventStream>[2], new AbortController().signal, {
          pauseMs: 100,
        });
      }).listen(0);
      await once(server, "listening");
      try {
        const text = await (await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)).text();
        expect(text.split(between).length - 1).to.be.within(2, 4);
        expect(text.startsWith("data:")).to.equal(true);
      } finally {
        server.close();
      }
    });
  }
});
