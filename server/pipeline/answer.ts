import type { Engine } from "../../models/engine.ts";
import { Fault } from "../fault.ts";
import type { AnswerEvent, Call, Ending, Usage } from "./call.ts";
import type { CallRecord } from "./call-record.ts";
import { confirmedCall } from "./confirmations.ts";
import { generatedAnswer, Meter } from "./generated-answer.ts";
import { type Asking, type Exposure, type Guard, isUntrusted, type Prompt, type SegmentGuard, type ToolGate } from "./guard.ts";
import { type Asked, endedBy, inputGate, passed, type Recording } from "./input-gate.ts";
import { type Judging, judgeCalls } from "./judge-calls.ts";
import { Refusal, type RefusalCode } from "./refusal.ts";
import type { Preface } from "./turns.ts";

export interface Gates {
  readonly input: readonly Guard<Prompt>[];
  readonly output: readonly SegmentGuard[];
  readonly tools: ToolGate;
  /** How often an answer is asked for before one that was blocked with nothing released is given up. */
  readonly attemptsMax: number;
  /** The operator's own words to the model, and examples of how it answers. */
  readonly preface: Preface;
  /** The operator's own words to callers, by the code of a refusal. */
  readonly sentences: Partial<Record<RefusalCode, string>>;
  /** What stands in the system prompt and must not stand in an answer. */
  readonly canary?: string;
}

/** One call from prompt to settled record. Throws a `Refusal` or a fault before or instead of the next text; either way the record is settled. */
export async function* answer(
  call: Call,
  gates: Gates,
  engine: Engine,
  record: CallRecord,
  signal: AbortSignal,
): AsyncGenerator<AnswerEvent> {
  const meter = new Meter();
  const recording: Recording = { call, gates, model: engine.model, record, signal };
  try {
    const asked = passed(await inputGate(recording));
    // The answer must call a function, and the policy lets the model hear of none.
    if (call.tools?.offered.length === 0) throw new Refusal("tool_call", []);
    const asking: Asking = { caller: call.caller.name, signal };
    const judging: Judging = { call, gates, prompt: asked.subject, exposure: exposureOf(asked), asking, record };
    const { confirmations } = call;
    const ending = confirmations
      ? yield* confirmedAnswer(judging, confirmations, meter.usage)
      : yield* generatedAnswer(judging, engine, meter, signal);
    record.settled({ outcome: "answered", reason: ending.reason, usage: meter.total });
    const refusal = ending.refusal?.in(gates.sentences);
    yield { type: "end", usage: meter.usage, ...ending, ...(refusal === undefined ? {} : { refusal }) };
  } catch (error) {
    throw endedBy(error, recording, meter.total);
  } finally {
    // The reader left, or could not be written to: a generator that is closed early runs no other line.
    record.settled({ outcome: "cancelled", usage: meter.total, ...(signal.aborted ? { error: signal.reason } : {}) });
  }
}

/** What the application confirmed leaves as it was held; nothing is generated for it. */
async function* confirmedAnswer(judging: Judging, confirmations: readonly string[], usage: Usage): AsyncGenerator<AnswerEvent, Ending> {
  const confirmed = [...new Set(confirmations)].map((confirmation) => {
    const called = confirmedCall(confirmation, judging.call);
    if (called === undefined) throw new Fault("confirmation_refused");
    return called;
  });
  const { calls, ending } = await judgeCalls(confirmed, judging, { whole: true });
  for (const one of calls) yield { type: "call", call: one, usage };
  return ending ?? { reason: "tool_calls" };
}

function exposureOf({ subject, findings }: Extract<Asked, { action: "pass" }>): Exposure {
  if (!subject.messages.some(isUntrusted)) return "none";
  return findings.some(({ origin }) => origin === "document" || origin === "tool") ? "finding" : "untrusted";
}
