import { randomUUID } from "node:crypto";
import type { RequestHandler, Response } from "express";
import { z } from "zod";
import type { Generation } from "../../../models/engine.ts";
import type { Call } from "../../pipeline/call.ts";
import { CallRecord } from "../../pipeline/call-record.ts";
import { generationOf } from "../../pipeline/generated-answer.ts";
import type { Prompt } from "../../pipeline/guard.ts";
import { passage } from "../../pipeline/passage.ts";
import { reading } from "../../pipeline/reading.ts";
import { anthropicCountSchema, anthropicNames, chatRequestOf as fromAnthropic } from "../../wire/anthropic-request.ts";
import type { ChatRequest, Names } from "../../wire/chat-request.ts";
import { checked } from "../../wire/checked.ts";
import { chatRequestOf as fromResponses, responsesCountSchema, responsesNames } from "../../wire/responses-request.ts";
import { type Answering, chatCall } from "../answering.ts";
import type { Service } from "../app.ts";
import { callerOf } from "../caller.ts";
import { engineFor } from "../engine-for.ts";

export const tokenizeRequestSchema = z.strictObject({ model: z.string().optional(), prompt: z.string().min(1) });

/** Anthropic's `POST /v1/messages/count_tokens`. */
export function countForMessages(service: Service): RequestHandler {
  return async (request, response) => {
    response.json({
      input_tokens: await counted(service, response, fromAnthropic(checked(anthropicCountSchema, request.body)), anthropicNames),
    });
  };
}

/** OpenAI's `POST /v1/responses/input_tokens`. */
export function countForResponses(service: Service): RequestHandler {
  return async (request, response) => {
    const input_tokens = await counted(service, response, fromResponses(checked(responsesCountSchema, request.body)), responsesNames);
    response.json({ object: "response.input_tokens", input_tokens });
  };
}

/** `POST /v1/tokenize`, as vLLM has it: a text as `/v1/completions` reads it. It comes back to nobody but its sender, so nothing in it is masked. */
export function tokenize(service: Service): RequestHandler {
  return async (request, response) => {
    const { model, prompt: text } = checked(tokenizeRequestSchema, request.body);
    const engine = engineFor(service, model);
    const caller = callerOf(response);
    const policy = service.policies.for(caller.name);
    const messages: Call["messages"] = [{ role: "user", index: 0, origin: "user", passage: passage(text) }];
    const call: Call = {
      id: `tok-${randomUUID()}`,
      caller,
      endpoint: "tokens",
      messages,
      stops: [],
      params: { messages: "prompt", schema: "" },
    };
    const tokens = await service.running.run(response, (signal) =>
      tokensOf(service, response, call, { engine, policy }, signal, () => ({ turns: [], text, identity: caller.name })),
    );
    response.json({ count: tokens.length, max_model_len: engine.model.contextTokens, tokens });
  };
}

/** As many as the answer's usage would say, masked and with what the policy adds: marks are drawn anew for each call, so it may be a few more or less. */
async function counted(service: Service, response: Response, request: ChatRequest, names: Names): Promise<number> {
  return await service.running.run(response, async (signal) => {
    const { call, ...answering } = await chatCall(service, response, request, { idPrefix: "count-", names }, signal);
    const { gates } = answering.policy;
    const counting: Call = { ...call, endpoint: "tokens" };
    return (await tokensOf(service, response, counting, answering, signal, (prompt) => generationOf({ call, gates, prompt }))).length;
  });
}

/** Judged and recorded like any call; since nothing is computed, none of a quota's tokens are used. */
async function tokensOf(
  service: Service,
  response: Response,
  call: Call,
  { engine, policy: { gates, recordContext } }: Answering,
  signal: AbortSignal,
  generation: (prompt: Prompt) => Generation,
): Promise<readonly number[]> {
  response.locals.callId = call.id;
  const record = new CallRecord(service.audit, recordContext);
  const { id, sha256 } = engine.model;
  return await reading(call, gates, { id, ...(sha256 === undefined ? {} : { sha256 }) }, record, signal, async (prompt) => {
    const result = await engine.tokenise(generation(prompt), signal);
    return { result, tokens: 0 };
  });
}
