import type { Gates } from "./answer.ts";
import type { Call } from "./call.ts";
import type { AskedModel, CallRecord } from "./call-record.ts";
import type { Prompt } from "./guard.ts";
import { type Asked, endedBy, inputGate, passed, type Recording } from "./input-gate.ts";

/** What came of reading a prompt, and how many of its tokens count as used. */
export interface Read<Result> {
  readonly result: Result;
  readonly tokens: number;
}

/** One call that nothing is generated for, from prompt to settled record: `read` is asked when the input gate has let the prompt through. */
export function reading<Result>(
  call: Call,
  gates: Pick<Gates, "input" | "sentences">,
  model: AskedModel,
  record: CallRecord,
  signal: AbortSignal,
  read: (prompt: Prompt) => Promise<Read<Result>>,
): Promise<Result> {
  return recorded({ call, gates, model, record, signal }, (asked) => read(passed(asked).subject));
}

/** The same where `read` hears of the gate's no, too. */
export async function recorded<Result>(recording: Recording, read: (asked: Asked) => Promise<Read<Result>>): Promise<Result> {
  const usage = { promptTokens: 0, completionTokens: 0, cachedTokens: 0 };
  try {
    const { result, tokens } = await read(await inputGate(recording));
    recording.record.settled({ outcome: "answered", usage: { ...usage, promptTokens: tokens } });
    return result;
  } catch (error) {
    throw endedBy(error, recording, usage);
  }
}
