import type { Response } from "express";
import type { Engine } from "../../models/engine.ts";
import { CallRecord } from "../audit/call-record.ts";
import { answer } from "../pipeline/answer.ts";
import type { AnswerEvent, Call } from "../pipeline/call.ts";
import type { Service } from "./app.ts";

/** Takes a call through both gates; `write` makes a response of what leaves. Every path that generates does it this way. */
export async function answering(
  service: Service,
  response: Response,
  call: Call,
  engine: Engine,
  write: (events: AsyncIterable<AnswerEvent>, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  response.locals.callId = call.id;
  const { gates, recordContext } = service.policies.for(call.caller.name);
  const record = new CallRecord(service.audit, recordContext);
  await service.running.run(response, (signal) =>
    write(timed(answer(call, gates, engine, record, signal), engine.model.id, service), signal),
  );
}

async function* timed(answered: AsyncIterable<AnswerEvent>, model: string, { events }: Service): AsyncGenerator<AnswerEvent> {
  const startedMs = performance.now();
  let first = true;
  for await (const event of answered) {
    if (event.type === "text" && first) {
      events.firstText({ model, ms: performance.now() - startedMs });
      first = false;
    }
    if (event.type === "end" && event.refusal !== undefined) events.answerCut({ code: event.refusal.code });
    yield event;
  }
}
