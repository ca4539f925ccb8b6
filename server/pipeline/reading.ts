import type { Model } from "../../models/engine.ts";
import type { Gates } from "./answer.ts";
import { type Call, named } from "./call.ts";
import type { CallRecord } from "./call-record.ts";
import type { Prompt } from "./guard.ts";
import { failureOf, inspect } from "./inspect.ts";
import { newPseudonyms } from "./pseudonyms.ts";
import { Refusal } from "./refusal.ts";

/** What came of reading a prompt, and how many of its tokens count as used. */
export interface Read<Result> {
  readonly result: Result;
  readonly tokens: number;
}

/** One call that nothing is generated for, from prompt to settled record: `read` is asked when the input gate has let the prompt through. */
export async function reading<Result>(
  call: Call,
  gates: Pick<Gates, "input" | "sentences">,
  model: Pick<Model, "id" | "sha256">,
  record: CallRecord,
  signal: AbortSignal,
  read: (prompt: Prompt) => Promise<Read<Result>>,
): Promise<Result> {
  const usage = { promptTokens: 0, completionTokens: 0, cachedTokens: 0 };
  try {
    record.allowed(call, model);
    const prompt: Prompt = { messages: call.messages, pseudonyms: newPseudonyms(call.messages, call.caller.name) };
    const asked = await inspect(gates.input, prompt, { caller: call.caller.name, signal });
    record.received(call, model, asked);
    if (asked.action === "failed") throw failureOf(asked.cause);
    if (asked.action === "block") throw new Refusal(asked.code, asked.findings);
    const { result, tokens } = await read(asked.subject);
    record.settled({ outcome: "answered", usage: { ...usage, promptTokens: tokens } });
    return result;
  } catch (error) {
    record.settled({ outcome: signal.aborted ? "cancelled" : error instanceof Refusal ? "refused" : "failed", error, usage });
    throw error instanceof Refusal ? error.in(gates.sentences) : named(error, call);
  }
}
