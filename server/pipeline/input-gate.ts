import type { Gates } from "./answer.ts";
import { type Call, named, type Usage } from "./call.ts";
import type { AskedModel, CallRecord } from "./call-record.ts";
import type { Prompt } from "./guard.ts";
import { failureOf, type Inspection, inspect } from "./inspect.ts";
import { newPseudonyms } from "./pseudonyms.ts";
import { Refusal } from "./refusal.ts";

/** A call, and what becomes of it on its way from prompt to settled record. */
export interface Recording {
  readonly call: Call;
  readonly gates: Pick<Gates, "input" | "sentences">;
  readonly model?: AskedModel;
  readonly record: CallRecord;
  readonly signal: AbortSignal;
}

/** What the guards of the input gate said, when none failed. */
export type Asked = Exclude<Inspection<Prompt>, { action: "failed" }>;

/** What the input gate says, recorded before anything else is asked. Throws when a guard failed, and when the call has ended meanwhile. */
export async function inputGate({ call, gates, model, record, signal }: Recording): Promise<Asked> {
  const { messages, caller } = call;
  record.allowed(call, model);
  const prompt: Prompt = { messages, pseudonyms: newPseudonyms(messages, caller.name) };
  const asked = await inspect(gates.input, prompt, { caller: caller.name, signal });
  record.received(call, model, asked);
  signal.throwIfAborted();
  if (asked.action === "failed") throw failureOf(asked.cause);
  return asked;
}

/** Throws the gate's no. */
export function passed(asked: Asked): Extract<Asked, { action: "pass" }> {
  if (asked.action === "block") throw new Refusal(asked.code, asked.findings);
  return asked;
}

/** Settles a call that `error` ended; what its caller is told. */
export function endedBy(error: unknown, { call, gates, record, signal }: Recording, usage: Usage): unknown {
  record.settled({ outcome: signal.aborted ? "cancelled" : error instanceof Refusal ? "refused" : "failed", error, usage });
  return error instanceof Refusal ? error.in(gates.sentences) : named(error, call);
}
