import type { Engine, EngineEvent, Generation } from "../../models/engine.ts";
import type { CallRecord } from "../audit/call-record.ts";
import type { AnswerEvent, Call, FinishReason, Usage } from "./call.ts";
import type { Asking, Guard, Prompt, SegmentGuard } from "./guard.ts";
import { failureOf, inspect } from "./inspect.ts";
import { newPseudonyms, restore, waitForPlaceholder } from "./pseudonyms.ts";
import { Refusal } from "./refusal.ts";
import { segment } from "./segment.ts";
import { StopTexts } from "./stop-texts.ts";
import { turnsOf } from "./turns.ts";

export interface Gates {
  readonly input: readonly Guard<Prompt>[];
  readonly output: readonly SegmentGuard[];
  /** How often an answer is asked for before one that was blocked with nothing released is given up. */
  readonly attemptsMax: number;
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
  try {
    const prompt: Prompt = { messages: call.messages, pseudonyms: newPseudonyms(call.messages.map((one) => one.passage.text)) };
    const asking: Asking = { caller: call.caller.name, signal };
    const asked = await inspect(gates.input, prompt, asking);
    record.received(call, engine.model, asked);
    if (asked.action === "failed") throw failureOf(asked.cause);
    if (asked.action === "block") throw new Refusal(asked.code, asked.findings);

    const { pseudonyms } = asked.subject;
    const waits = [...gates.output.map((guard) => guard.wait), waitForPlaceholder(pseudonyms)];
    const bySentence = gates.output.some((guard) => guard.bySentence === true);
    let refusal: Refusal | undefined;
    let released = false;
    for (let attempt = 1; attempt === 1 || (refusal !== undefined && !released && attempt <= gates.attemptsMax); attempt += 1) {
      const generation = generationOf(call, asked.subject, gates.canary, { attempt, refusal });
      refusal = undefined;
      const texts = meter.texts(engine.generate(generation, signal));
      const stops = new StopTexts(call.stops);
      for await (const part of segment(texts, waits, engine.model.stops, { bySentence })) {
        const judged = await inspect(gates.output, part, asking);
        record.judged(judged.findings);
        if (judged.action === "failed") throw failureOf(judged.cause);
        if (judged.action === "block") {
          refusal = new Refusal(judged.code, judged.findings);
          break;
        }
        const text = stops.take(restore(judged.subject.passage.text, pseudonyms), part.last);
        if (text !== "") {
          released = true;
          record.released(text);
          yield { type: "text", text };
        }
        if (stops.reached) {
          meter.reason = "stop";
          break;
        }
      }
    }
    if (refusal !== undefined) meter.reason = "content_filter";
    record.settled({ outcome: "answered", reason: meter.reason, usage: meter.usage });
    yield { type: "end", reason: meter.reason, usage: meter.usage, ...(refusal === undefined ? {} : { refusal }) };
  } catch (error) {
    record.settled({ outcome: signal.aborted ? "cancelled" : error instanceof Refusal ? "refused" : "failed", error, usage: meter.usage });
    throw error;
  } finally {
    // The reader left, or could not be written to: a generator that is closed early runs no other line.
    record.settled({ outcome: "cancelled", usage: meter.usage, ...(signal.aborted ? { error: signal.reason } : {}) });
  }
}

/** Counts what the engine does while its text passes through. */
class Meter {
  reason: FinishReason = "stop";
  #promptTokens = 0;
  #completionTokens = 0;

  get usage(): Usage {
    return { promptTokens: this.#promptTokens, completionTokens: this.#completionTokens };
  }

  async *texts(events: AsyncIterable<EngineEvent>): AsyncGenerator<string> {
    for await (const event of events) {
      if (event.type === "prompt") this.#promptTokens = event.tokens;
      else if (event.type === "end") this.reason = event.reason;
      else {
        this.#completionTokens += event.tokens;
        yield event.text;
      }
    }
  }
}

/** What the engine needs, and nothing else of the call: no text from before the gate, no name. */
function generationOf(
  { tokensMax, temperature, topP, seed: first }: Call,
  prompt: Prompt,
  canary: string | undefined,
  { attempt, refusal }: { attempt: number; refusal: Refusal | undefined },
): Generation {
  const seed = first === undefined ? undefined : first + attempt - 1;
  return {
    turns: turnsOf(prompt, canary, refusal),
    ...(tokensMax === undefined ? {} : { tokensMax }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { topP }),
    ...(seed === undefined ? {} : { seed }),
  };
}
