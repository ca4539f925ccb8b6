import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
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
