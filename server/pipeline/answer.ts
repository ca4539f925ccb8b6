import type { Engine, EngineEvent, Generation, Turn } from "../../models/engine.ts";
import type { CallRecord } from "../audit/call-record.ts";
import { Fault } from "../fault.ts";
import type { AnswerEvent, Call, FinishReason, Usage } from "./call.ts";
import type { Guard, Message, Prompt, SegmentGuard } from "./guard.ts";
import { inspect } from "./inspect.ts";
import { newPseudonyms, restore, waitForPlaceholder } from "./pseudonyms.ts";
import { Refusal } from "./refusal.ts";
import { segment } from "./segment.ts";
import { StopTexts } from "./stop-texts.ts";

export interface Gates {
  readonly input: readonly Guard<Prompt>[];
  readonly output: readonly SegmentGuard[];
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
    const asked = await inspect(gates.input, prompt);
    record.received(call, engine.model, asked);
    if (asked.action === "failed") throw new Fault("guard_failed", undefined, { cause: asked.cause });
    if (asked.action === "block") throw new Refusal(asked.code, asked.findings);

    const { pseudonyms } = asked.subject;
    const texts = meter.texts(engine.generate(generationOf(call, asked.subject), signal));
    const waits = [...gates.output.map((guard) => guard.wait), waitForPlaceholder(pseudonyms)];
    const stops = new StopTexts(call.stops);
    for await (const part of segment(texts, waits, engine.model.stops)) {
      const judged = await inspect(gates.output, part);
      record.judged(judged.findings);
      if (judged.action === "failed") throw new Fault("guard_failed", undefined, { cause: judged.cause });
      if (judged.action === "block") {
        meter.reason = "content_filter";
        break;
      }
      const text = stops.take(restore(judged.subject.passage.text, pseudonyms), part.last);
      if (text !== "") {
        record.released(text);
        yield { type: "text", text };
      }
      if (stops.reached) {
        meter.reason = "stop";
        break;
      }
    }
    record.settled({ outcome: "answered", reason: meter.reason, usage: meter.usage });
    yield { type: "end", reason: meter.reason, usage: meter.usage };
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
function generationOf({ tokensMax, temperature, topP, seed }: Call, { messages }: Prompt): Generation {
  return {
    turns: messages.map(turnOf),
    ...(tokensMax === undefined ? {} : { tokensMax }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { topP }),
    ...(seed === undefined ? {} : { seed }),
  };
}

function turnOf({ role, passage }: Message): Turn {
  return { role: role === "developer" ? "system" : role, text: passage.text };
}
