import { randomUUID } from "node:crypto";
import type { Request, RequestHandler, Response } from "express";
import type { ToolCall } from "../../../models/engine.ts";
import { CallRecord } from "../../audit/call-record.ts";
import { answer } from "../../pipeline/answer.ts";
import type { AnswerEvent, Ending, Usage } from "../../pipeline/call.ts";
import { told } from "../../pipeline/finding.ts";
import { type ChatRequest, callOf, chatRequestSchema } from "../../wire/chat-request.ts";
import { faultOf } from "../../wire/fault-of.ts";
import { checkCount } from "../../wire/messages.ts";
import type { Service } from "../app.ts";
import { callerOf } from "../caller.ts";
import { replyTo } from "../error-body.ts";
import { write } from "../running-calls.ts";
import { engineFor } from "./models.ts";

/** OpenAI's `POST /v1/chat/completions`. Streaming and not are the same answer, written differently. */
export function chatCompletions(service: Service): RequestHandler {
  return async (request: Request, response: Response) => {
    const parsed = chatRequestSchema.safeParse(request.body);
    if (!parsed.success) throw faultOf(parsed.error);
    checkCount(parsed.data.messages, service.limits.messages_max, "messages");
    const engine = engineFor(service, parsed.data.model);
    const caller = callerOf(response);
    const { gates, recordContext } = service.policies.for(caller.name);
    const call = await callOf(parsed.data, { id: `chatcmpl-${randomUUID()}`, caller }, (tool) => gates.tools.offers(tool));
    response.locals.callId = call.id;
    const record = new CallRecord(service.audit, recordContext);
    await service.running.run(response, async (signal) => {
      const events = answer(call, gates, engine, record, signal);
      const head = { id: call.id, created: Math.floor(Date.now() / 1000), model: engine.model.id };
      await (parsed.data.stream ? stream(events, head, parsed.data, response, signal) : whole(events, head, response));
    });
  };
}

interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

async function whole(events: AsyncIterable<AnswerEvent>, head: Head, response: Response): Promise<void> {
  let content = "";
  const calls: object[] = [];
  for await (const event of events) {
    if (event.type === "text") content += event.text;
    else if (event.type === "call") calls.push(toolCallOf(event.call));
    else {
      const message = calls.length === 0 ? { content } : { content: content === "" ? null : content, tool_calls: calls };
      response.json({
        ...head,
        object: "chat.completion",
        choices: [{ index: 0, message: { role: "assistant", ...message, refusal: null }, logprobs: null, finish_reason: event.reason }],
        usage: usageOf(event.usage),
        ...refusalOf(event),
      });
    }
  }
}

async function stream(
  events: AsyncIterable<AnswerEvent>,
  head: Head,
  request: ChatRequest,
  response: Response,
  signal: AbortSignal,
): Promise<void> {
  const usageAsked = request.stream_options?.include_usage === true;
  const chunk = (choices: object[], usage: object | null = null, ending: Partial<Ending> = {}): string =>
    `data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", choices, ...(usageAsked ? { usage } : {}), ...refusalOf(ending) })}\n\n`;
  const choice = (delta: object, reason: string | null = null): object => ({ index: 0, delta, logprobs: null, finish_reason: reason });
  let calls = 0;
  try {
    for await (const event of events) {
      // The first event decides between a stream and an error with a status of its own.
      if (!response.headersSent) {
        response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store" });
        await write(response, chunk([choice({ role: "assistant", content: "", refusal: null })]), signal);
      }
      if (event.type === "text") await write(response, chunk([choice({ content: event.text })]), signal);
      else if (event.type === "call") {
        await write(response, chunk([choice({ tool_calls: [{ index: calls++, ...toolCallOf(event.call) }] })]), signal);
      } else {
        await write(response, chunk([choice({}, event.reason)], null, event), signal);
        if (usageAsked) await write(response, chunk([], usageOf(event.usage)), signal);
        response.end("data: [DONE]\n\n");
      }
    }
  } catch (error) {
    if (!response.headersSent) throw error;
    response.locals.error = error;
    response.end(`data: ${JSON.stringify(replyTo(error).body)}\n\n`);
  }
}

/** Why the answer ends where it does, beside OpenAI's fields. */
function refusalOf({ refusal, held = [] }: Partial<Ending>): object {
  if (refusal === undefined) return {};
  return { guard: { code: refusal.code, message: refusal.message, ...told(refusal.findings), ...(held.length === 0 ? {} : { held }) } };
}

function toolCallOf(call: ToolCall): object {
  return { id: `call_${randomUUID().replaceAll("-", "")}`, type: "function", function: { name: call.name, arguments: call.arguments } };
}

function usageOf({ promptTokens, completionTokens }: Usage): object {
  return { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens };
}
