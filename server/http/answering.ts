import { randomUUID } from "node:crypto";
import type { Response } from "express";
import type { Engine } from "../../models/engine.ts";
import { CallRecord } from "../audit/call-record.ts";
import { answer } from "../pipeline/answer.ts";
import type { AnswerEvent, Call } from "../pipeline/call.ts";
import { type ChatRequest, callOf } from "../wire/chat-request.ts";
import { checkCount } from "../wire/messages.ts";
import type { Service } from "./app.ts";
import { callerOf } from "./caller.ts";
import { engineFor } from "./engine-for.ts";

/** What an answer begins with, in every shape. */
export interface Head {
  readonly id: string;
  readonly model: string;
}

/** An answer to a conversation, whatever the shape in which it was asked. `idPrefix`: of the call; `param`: what the request calls its messages. */
export async function answeringChat(
  service: Service,
  response: Response,
  request: ChatRequest,
  { idPrefix, param = "messages" }: { idPrefix: string; param?: string },
  write: (events: AsyncIterable<AnswerEvent>, signal: AbortSignal, head: Head) => Promise<void>,
): Promise<void> {
  checkCount(request.messages, service.limits.messages_max, param);
  const engine = engineFor(service, request.model);
  const caller = callerOf(response);
  const { tools } = service.policies.for(caller.name).gates;
  const call = await callOf(request, { id: `${idPrefix}${randomUUID().replaceAll("-", "")}`, caller }, (tool) => tools.offers(tool));
  const head = { id: call.id, model: engine.model.id };
  await answering(service, response, call, engine, (events, signal) => write(events, signal, head));
}

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
