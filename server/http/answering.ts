import type { Response } from "express";
import type { Engine } from "../../models/engine.ts";
import { newId } from "../new-id.ts";
import { answer } from "../pipeline/answer.ts";
import type { AnswerEvent, Call } from "../pipeline/call.ts";
import { CallRecord, checkAllowed } from "../pipeline/call-record.ts";
import type { PolicyAtWork } from "../policy/policies.ts";
import { type ChatRequest, callOf, type Names } from "../wire/chat-request.ts";
import { checkCount } from "../wire/messages.ts";
import type { Service } from "./app.ts";
import { callerOf } from "./caller.ts";
import { engineFor } from "./engine-for.ts";

/** What an answer begins with, in every shape. */
export interface Head {
  readonly id: string;
  readonly model: string;
}

/** Who answers a call, and what judges it. */
export interface Answering {
  readonly engine: Engine;
  readonly policy: PolicyAtWork;
}

/** An answer to a conversation, or `n` of them one after the other, whatever the shape in which it was asked. `idPrefix`: of the call; `names`: what the request calls its parts. */
export async function answeringChat(
  service: Service,
  response: Response,
  request: ChatRequest,
  named: { idPrefix: string; names: Names },
  write: (events: AsyncIterable<AnswerEvent>, signal: AbortSignal, head: Head) => Promise<void>,
): Promise<void> {
  await service.running.run(response, async (signal) => {
    const { call, ...answering } = await chatCall(service, response, request, named, signal);
    const head = { id: call.id, model: answering.engine.model.id };
    await write(answersTo(service, response, timesOf(call, request.n ?? 1), answering, signal), signal, head);
  });
}

/** A request for an answer as the pipeline takes it, with the engine that it names and the policy of its caller. Files and schemas are read for it, which costs more than to refuse it for a quota. */
export async function chatCall(
  service: Service,
  response: Response,
  request: ChatRequest,
  { idPrefix, names }: { idPrefix: string; names: Names },
  signal: AbortSignal,
): Promise<Answering & { readonly call: Call }> {
  checkCount(request.messages, service.limits.messages_max, names.messages);
  const engine = engineFor(service, request.model);
  const caller = callerOf(response);
  const policy = service.policies.for(caller.name);
  checkAllowed(service.audit, policy.recordContext, caller.name, engine.model);
  const id = newId(idPrefix);
  const call = await callOf(request, { id, caller, names, signal }, (tool) => policy.gates.tools.offers(tool));
  return { call, engine, policy };
}

/** Each answer is a call of its own, with a seed of its own. They come in turn, so that the prompt is computed once and the caller takes one place. */
function timesOf(call: Call, n: number): readonly [Call, ...Call[]] {
  const { id, sampling } = call;
  const more = Array.from({ length: n - 1 }, (_, index) => {
    const seed = sampling?.seed === undefined ? undefined : sampling.seed + index + 1;
    return { ...call, id: `${id}-${index + 2}`, sampling: { ...sampling, seed } };
  });
  return [call, ...more];
}

/** Takes calls through both gates, one after the other. Every path that generates does it this way. */
export async function* answersTo(
  service: Service,
  response: Response,
  calls: readonly [Call, ...Call[]],
  { engine, policy: { gates, recordContext } }: Answering,
  signal: AbortSignal,
): AsyncGenerator<AnswerEvent> {
  response.locals.callId = calls[0].id;
  for (const call of calls) {
    const record = new CallRecord(service.audit, recordContext);
    yield* timed(answer(call, gates, engine, record, signal), engine.model.id, service);
  }
}

async function* timed(answered: AsyncIterable<AnswerEvent>, model: string, { events, isBackground }: Service): AsyncGenerator<AnswerEvent> {
  const startedMs = performance.now();
  let first = !isBackground;
  for await (const event of answered) {
    if (event.type === "text" && first) {
      events.firstText({ model, ms: performance.now() - startedMs });
      first = false;
    }
    if (event.type === "end" && event.refusal !== undefined) events.answerCut({ code: event.refusal.code });
    yield event;
  }
}
