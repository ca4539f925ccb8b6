import type { ToolCall } from "../../models/engine.ts";
import { Fault } from "../fault.ts";
import type { Gates } from "./answer.ts";
import type { Call, Ending, HeldCall } from "./call.ts";
import { parsedArguments, textsIn, withTexts } from "./call-arguments.ts";
import type { CallRecord } from "./call-record.ts";
import { type ConfirmedCall, confirmationOf, isAsShown } from "./confirmations.ts";
import type { Asking, Exposure, Prompt } from "./guard.ts";
import { passage } from "./passage.ts";
import { restore } from "./pseudonyms.ts";
import { Refusal } from "./refusal.ts";
import { leftOf } from "./through-guards.ts";

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

/**
 * Each text in the arguments of a call is text of the answer like any other; then the policy is asked about the call. `whole`: the answer came to its
 * end. What was confirmed is judged as it was when it was held. Throws a `Fault` where it would leave as something else than was shown.
 */
export async function judgeCalls(
  proposed: readonly (ToolCall | ConfirmedCall)[],
  judging: Judging,
  { whole }: { whole: boolean },
): Promise<JudgedCalls> {
  const { call, gates, exposure } = judging;
  const { pseudonyms } = judging.prompt;
  const isTooFew = whole && call.tools?.required === true && proposed.length === 0;
  if (isTooFew || (call.tools?.parallel === false && proposed.length > 1)) return blocked(new Refusal("tool_call", []));
  const calls: (ToolCall & { readonly unrestored: string })[] = [];
  let waiting: Refusal | undefined;
  for (const one of proposed) {
    const tool = call.tools?.offered.find(({ name }) => name === one.name);
    const written = parsedArguments(one.arguments);
    if (tool === undefined || written === undefined) return blocked(new Refusal("tool_call", []));
    const texts = new Map<string, string>();
    for (const text of textsIn(written)) {
      const left = await leftOf(
        gates.output,
        { released: passage(""), before: "", passage: passage(text), ahead: "", last: true },
        judging,
      );
      if (left instanceof Refusal) return blocked(left);
      texts.set(text, left.passage.text);
    }
    const masked = withTexts(written, (text) => texts.get(text) ?? text);
    if (masked === undefined) return blocked(new Refusal("tool_call", []));
    const restored = gates.tools.restores(one.name) ? withTexts(masked, (text) => restore(text, pseudonyms)) : masked;
    if (restored === undefined) return blocked(new Refusal("tool_call", []));
    const [unrestored, given] = [JSON.stringify(masked), JSON.stringify(restored)];
    const confirmed = "shown" in one;
    if (confirmed && !isAsShown(one, given, call)) throw new Fault("confirmation_refused");
    const left = await leftOf([gates.tools], { tool, arguments: given, exposure, confirmed }, judging);
    if (left instanceof Refusal) {
      if (left.code !== "tool_confirmation") return blocked(left);
      waiting = left;
    }
    calls.push({ name: one.name, arguments: given, unrestored });
  }
  for (const { name, arguments: given } of calls) judging.record.released(`\n${name} ${given}`);
  if (waiting !== undefined)
    return blocked(
      waiting,
      // What is sealed is judged and restored once more when it is confirmed.
      calls.map(({ name, arguments: given, unrestored }) => ({
        name,
        arguments: given,
        confirmation: confirmationOf({ name, arguments: unrestored }, given, call),
      })),
    );
  return { calls: calls.map(({ name, arguments: given }) => ({ name, arguments: given })) };
}

function blocked(refusal: Refusal, held: readonly HeldCall[] = []): JudgedCalls {
  return { calls: [], ending: { reason: "content_filter", refusal, held } };
}
