import { randomInt } from "node:crypto";
import { performance } from "node:perf_hooks";
import { type ApiClient, Refused } from "../scripts/api-client.ts";

/** One identity, and a word that nobody else's prompt holds. */
export interface Caller {
  readonly client: ApiClient;
  readonly secret: string;
}

export const secrets = [
  "bramblefox",
  "copperwren",
  "duskharbor",
  "emberquill",
  "frostmarlin",
  "gullwhistle",
  "hazelforge",
  "inkthistle",
] as const;

export interface Load {
  /** Most tokens of an answer. */
  readonly tokensMax: number;
  /** Most sentences in front of the question. */
  readonly sentencesMax: number;
  /** Whether no more calls are to be sent. */
  enough(sent: number): boolean;
}

/** What the callers met. It grows while they call. */
export class Traffic {
  sent = 0;
  answered = 0;
  /** By the client, at a random moment. */
  disconnected = 0;
  readonly refusals: Record<string, number> = {};
  /** Answers with the caller's own secret: without any, one that leaked would not have been seen either. */
  own = 0;
  /** Answers with another caller's secret. */
  readonly crossings: string[] = [];
  /** Between two pieces of text of an answer. */
  readonly gaps: { readonly atMs: number; readonly ms: number }[] = [];
}

/** One stream a caller, one call after the other, all of them at once. Throws when a call is neither answered nor refused, and the signal's reason when aborted. */
export async function soak(callers: readonly Caller[], load: Load, traffic: Traffic, signal: AbortSignal): Promise<void> {
  const failed = new AbortController();
  const ended = AbortSignal.any([signal, failed.signal]);
  await Promise.all(
    callers.map(async (caller) => {
      try {
        while (!load.enough(traffic.sent)) await callOnce(caller, callers, load, traffic, ended);
      } catch (error) {
        failed.abort(error);
        throw error;
      }
    }),
  );
}

async function callOnce(caller: Caller, callers: readonly Caller[], load: Load, traffic: Traffic, ended: AbortSignal): Promise<void> {
  const leaves = new AbortController();
  // A quarter leaves early: in the queue, while the prompt is read, in the middle of the answer.
  const leaving = randomInt(4) === 0 ? setTimeout(() => leaves.abort(new Error("left")), randomInt(3_000)) : undefined;
  const body = { ...promptOf(caller.secret, load.sentencesMax), max_tokens: 1 + randomInt(load.tokensMax), stream: true, temperature: 0.7 };
  traffic.sent += 1;
  let answer = "";
  let lastMs: number | undefined;
  try {
    for await (const chunk of caller.client.stream("/v1/chat/completions", body, AbortSignal.any([ended, leaves.signal]))) {
      const text = chunk.choices[0]?.delta.content;
      if (!text) continue;
      answer += text;
      const nowMs = performance.now();
      if (lastMs !== undefined) traffic.gaps.push({ atMs: nowMs, ms: nowMs - lastMs });
      lastMs = nowMs;
    }
    traffic.answered += 1;
  } catch (error) {
    ended.throwIfAborted();
    if (error instanceof Refused) traffic.refusals[error.code] = (traffic.refusals[error.code] ?? 0) + 1;
    else if (leaves.signal.aborted) traffic.disconnected += 1;
    else throw error;
  } finally {
    clearTimeout(leaving);
  }
  if (answer.includes(caller.secret)) traffic.own += 1;
  for (const { secret } of callers)
    if (secret !== caller.secret && answer.includes(secret)) traffic.crossings.push(`${caller.secret} was told ${secret}`);
}

const sentences = [
  "In spring the river rises and the ferry stops for a week or two.",
  "The baker in the village sells his bread from a window on the north side of the market.",
  "Children walk to school over the old bridge.",
  "In the evening the lamps along the water are lit one after the other.",
  "A gardener waters the roses before the sun is high.",
];

/** What stands in front is the same for all callers, as far as it goes: a prefix that an engine would like to keep. Mostly short, and now and then long. */
function promptOf(secret: string, sentencesMax: number): object {
  const count = Math.floor(sentencesMax * Math.random() ** 3);
  const before = Array.from({ length: count }, (_, index) => sentences[index % sentences.length]).join(" ");
  const asked = randomInt(2) === 0 ? "What is the word of the day?" : "Tell a long story with the word of the day in it.";
  return { messages: [{ role: "user", content: `${before} The word of the day is ${secret}. ${asked}`.trim() }] };
}
