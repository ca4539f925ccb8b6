import type { Engine, EngineEvent, Generation, ToolCall } from "../../models/engine.ts";
import { misfitIn } from "../caller-schema.ts";
import type { AnswerEvent, Ending, FinishReason, Usage } from "./call.ts";
import { JsonText } from "./json-text.ts";
import { type Judging, judgeCalls } from "./judge-calls.ts";
import { GrowingPassage, slice } from "./passage.ts";
import { restore, waitForPlaceholder } from "./pseudonyms.ts";
import { Refusal } from "./refusal.ts";
import { StopTexts } from "./stop-texts.ts";
import { refusalOfWhole, throughGuards } from "./through-guards.ts";
import { sharedOf, turnsOf } from "./turns.ts";

/** Asks the engine, once more with the reason while an answer is refused of which nothing has left. Text leaves as it is judged, calls when the answer is whole. */
export async function* generatedAnswer(
  judging: Judging,
  engine: Engine,
  meter: Meter,
  signal: AbortSignal,
): AsyncGenerator<AnswerEvent, Ending> {
  const { gates } = judging;
  for (let attempt = 1, refusal: Refusal | undefined; ; attempt += 1) {
    const events = engine.generate(generationOf(judging, { attempt, refusal }), signal);
    const { released, ...text } = yield* releasedText(judging, engine, meter, meter.texts(events));
    const isCut = meter.reason === "length";
    const { calls, ending } =
      text.ending?.refusal === undefined
        ? await judgeCalls(meter.calls(), judging, { whole: text.ending === undefined && !isCut })
        : { calls: [], ending: text.ending };
    refusal = ending?.refusal;
    const isRetried = refusal !== undefined && refusal.code !== "tool_confirmation" && released === "" && attempt < gates.attemptsMax;
    if (isRetried) continue;
    for (const one of calls) yield { type: "call", call: one, usage: meter.usage };
    if (ending !== undefined) return ending;
    return calls.length > 0 && !isCut ? { reason: "tool_calls" } : (text.ending ?? { reason: meter.reason });
  }
}

/** `ending`: what the text came to before its end. */
async function* releasedText(
  { call, gates, prompt: { pseudonyms }, asking, record }: Judging,
  engine: Engine,
  meter: Meter,
  texts: AsyncIterable<string>,
): AsyncGenerator<AnswerEvent, { released: string; ending?: Ending }> {
  const stops = new StopTexts(call.stops);
  const json = call.schema === undefined ? undefined : new JsonText();
  const watch = { stops: () => engine.model.stops, wait: waitForPlaceholder(pseudonyms), asking, record, isJson: json !== undefined };
  let released = "";
  let restored = "";
  const judged = new GrowingPassage();
  for await (const part of throughGuards(json?.shown(texts) ?? texts, gates.output, watch)) {
    if (part instanceof Refusal) return { released, ending: blocked(part) };
    const next = restore(json?.kept(part.passage) ?? part.passage.text, pseudonyms, restored);
    restored += next;
    const judgedChars = judged.text.length;
    judged.add(part.passage);
    const text = stops.take(json?.write(next) ?? next, part.last);
    if (text !== "") {
      released += text;
      record.released(text);
      yield { type: "text", text, usage: meter.usage };
    }
    if (stops.reached !== undefined) {
      const at = judged.text.indexOf(stops.reached, Math.max(0, judgedChars - stops.reached.length));
      const left = at < 0 ? judged : slice(judged, 0, at);
      const refusal = part.last ? undefined : await refusalOfWhole(left, gates.output, watch);
      return { released, ending: refusal === undefined ? { reason: "stop", stop: stops.reached } : blocked(refusal) };
    }
  }
  const isWhole = meter.reason !== "length";
  if (call.schema !== undefined && isWhole && (await misfitIn(released, call.schema, asking.caller)) !== undefined)
    return { released, ending: blocked(new Refusal("schema", [])) };
  return { released };
}

function blocked(refusal: Refusal): Ending {
  return { reason: "content_filter", refusal };
}

const nothing: Usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };

/** Counts what the engine does while its text passes through, and keeps the calls. */
export class Meter {
  reason: FinishReason = "stop";
  #usage = nothing;
  /** Of the answers that were withheld. */
  #before = nothing;
  #calls: ToolCall[] = [];

  /** Of the answer whose text was read last. */
  get usage(): Usage {
    return this.#usage;
  }

  /** Of all answers together: what was computed. */
  get total(): Usage {
    const [before, last] = [this.#before, this.#usage];
    return {
      promptTokens: before.promptTokens + last.promptTokens,
      cachedTokens: before.cachedTokens + last.cachedTokens,
      completionTokens: before.completionTokens + last.completionTokens,
    };
  }

  /** The calls of the answer whose text was read last. */
  calls(): readonly ToolCall[] {
    return this.#calls;
  }

  async *texts(events: AsyncIterable<EngineEvent>): AsyncGenerator<string> {
    this.#before = this.total;
    this.#usage = nothing;
    this.#calls = [];
    this.reason = "stop";
    for await (const event of events) {
      if (event.type === "prompt") this.#usage = { ...this.#usage, promptTokens: event.tokens, cachedTokens: event.cached };
      else if (event.type === "end") this.reason = event.reason;
      else {
        this.#usage = { ...this.#usage, completionTokens: this.#usage.completionTokens + event.tokens };
        if (event.type === "call") this.#calls.push(event.call);
        else yield event.text;
      }
    }
  }
}

/** What the engine needs, and nothing else of the call: no text from before the gate. */
export function generationOf(
  {
    call: { endpoint, caller, tokensMax, contextMayEnd, sampling = {}, tools, schema },
    gates,
    prompt,
  }: Pick<Judging, "call" | "gates" | "prompt">,
  { attempt, refusal }: { attempt: number; refusal?: Refusal | undefined } = { attempt: 1 },
): Generation {
  const { seed } = sampling;
  const shared = sharedOf(gates);
  return {
    ...(endpoint === "completions"
      ? { turns: [], text: textOf(prompt) }
      : { turns: turnsOf(prompt, gates, refusal), ...(shared === undefined ? {} : { shared }) }),
    identity: caller.name,
    ...(tools === undefined ? {} : { tools }),
    ...(schema === undefined ? {} : { schema }),
    ...(tokensMax === undefined ? {} : { tokensMax }),
    ...(contextMayEnd === true ? { contextMayEnd } : {}),
    ...sampling,
    ...(seed === undefined ? {} : { seed: seed + attempt - 1 }),
  };
}

/** A text to go on with has no place for a note or a mark of ours. */
function textOf({ messages }: Judging["prompt"]): string {
  return messages.map(({ passage }) => passage.text).join("");
}
