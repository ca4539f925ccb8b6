import type { ToolCall } from "../../models/engine.ts";
import type { CallRecord } from "../audit/call-record.ts";
import type { Gates } from "./answer.ts";
import type { Call, Ending, HeldCall } from "./call.ts";
import { confirmationOf } from "./confirmations.ts";
import type { Asking, Exposure, Prompt } from "./guard.ts";
import { failureOf, inspect } from "./inspect.ts";
import { passage } from "./passage.ts";
import { type Pseudonyms, restore } from "./pseudonyms.ts";
import { Refusal } from "./refusal.ts";

/** What an answer is judged with. */
export interface Judging {
  readonly call: Call;
  readonly gates: Gates;
  /** As the input gate left it. */
  readonly prompt: Prompt;
  readonly exposure: Exposure;
  readonly asking: Asking;
  readonly record: CallRecord;
}

/** All calls of an answer leave, or none and the answer ends. */
interface JudgedCalls {
  readonly calls: readonly ToolCall[];
  readonly ending?: Ending;
}

/** The arguments of a call are text of the answer like any other; then the policy is asked about the call. */
export async function judgeCalls(
  proposed: readonly ToolCall[],
  { call, gates, prompt: { pseudonyms }, exposure, asking, record }: Judging,
  { confirmed }: { confirmed: boolean },
): Promise<JudgedCalls> {
  const calls: ToolCall[] = [];
  let waiting: Refusal | undefined;
  for (const one of proposed) {
    const tool = call.tools?.offered.find(({ name }) => name === one.name);
    if (tool === undefined) return blocked(new Refusal("tool_call", []));
    const read = await inspect(gates.output, { released: "", before: "", passage: passage(one.arguments), ahead: "", last: true }, asking);
    record.judged(read.findings);
    if (read.action === "failed") throw failureOf(read.cause);
    if (read.action === "block") return blocked(new Refusal(read.code, read.findings));
    const text = read.subject.passage.text;
    const given = gates.tools.restores(one.name) ? restoredIn(text, pseudonyms) : text;
    const judged = await inspect([gates.tools], { tool, arguments: given, exposure, confirmed }, asking);
    record.judged(judged.findings);
    if (judged.action === "failed") throw failureOf(judged.cause);
    if (judged.action === "block") {
      waiting = new Refusal(judged.code, judged.findings);
      if (judged.code !== "tool_confirmation") return blocked(waiting);
    }
    calls.push({ name: one.name, arguments: given });
  }
  if (waiting !== undefined)
    return blocked(
      waiting,
      calls.map((one) => ({ ...one, confirmation: confirmationOf(one, call) })),
    );
  for (const { name, arguments: given } of calls) record.released(`\n${name} ${given}`);
  return { calls };
}

function blocked(refusal: Refusal, held: readonly HeldCall[] = []): JudgedCalls {
  return { calls: [], ending: { reason: "content_filter", refusal, held } };
}

/** Restores each text inside the JSON, so that no value can break out of it. */
function restoredIn(json: string, pseudonyms: Pseudonyms): string {
  try {
    return JSON.stringify(JSON.parse(json, (_key, value) => (typeof value === "string" ? restore(value, pseudonyms) : value)));
  } catch {
    return json; // it is no JSON any more, which the guard of calls refuses
  }
}
