import type { Request, RequestHandler, Response } from "express";
import type { ToolCall } from "../../../models/engine.ts";
import { newId } from "../../new-id.ts";
import type { AnswerEvent, Ending, Usage } from "../../pipeline/call.ts";
import { told } from "../../pipeline/finding.ts";
import { type ChatRequest, chatNames, chatRequestSchema } from "../../wire/chat-request.ts";
import { checked } from "../../wire/checked.ts";
import { answeringChat } from "../answering.ts";
import type { Service } from "../app.ts";
import { data, eventStream, type Frames } from "../event-stream.ts";

/** OpenAI's `POST /v1/chat/completions`. Streaming and not are the same answer, written differently. */
export function chatCompletions(service: Service): RequestHandler {
  return async (request: Request, response: Response) => {
    const asked = checked(chatRequestSchema, request.body);
    await answeringChat(service, response, asked, { idPrefix: "chatcmpl-", names: chatNames }, (events, signal, { id, model }) => {
      const head = { id, created: Math.floor(Date.now() / 1000), model };
      const isOne = (asked.n ?? 1) === 1;
      return asked.stream ? eventStream(events, framesOf(head, asked), response, signal) : whole(events, head, response, isOne);
    });
  };
}

interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

/** Every answer ends before the next begins. */
async function whole(events: AsyncIterable<AnswerEvent>, head: Head, response: Response, isOne: boolean): Promise<void> {
  const choices: object[] = [];
  let content = "";
  let calls: object[] = [];
  let used: Usage | undefined;
  let guard = {};
  for await (const event of events) {
    if (event.type === "text") content += event.text;
    else if (event.type === "call") calls.push(toolCallOf(event.call));
    else {
      const message = calls.length === 0 ? { content } : { content: content === "" ? null : content, tool_calls: calls };
      const choice = { message: { role: "assistant", ...message, refusal: null }, logprobs: null, finish_reason: event.reason };
      guard = refusalOf(event);
      choices.push({ index: choices.length, ...choice, ...(isOne ? {} : guard) });
      used = sumOf(used, event.usage);
      content = "";
      calls = [];
    }
  }
  if (used !== undefined) response.json({ ...head, object: "chat.completion", choices, usage: usageOf(used), ...(isOne ? guard : {}) });
}

function framesOf(head: Head, { stream_options, n }: ChatRequest): Frames {
  const usageAsked = stream_options?.include_usage === true;
  const chunk = (choices: object[], more: object = {}): string =>
    data({ ...head, object: "chat.completion.chunk", choices, ...(usageAsked ? { usage: null } : {}), ...more });
  const last = (n ?? 1) - 1;
  let index = 0;
  const choice = (delta: object, reason: string | null = null): object => ({ index, delta, logprobs: null, finish_reason: reason });
  const begin = (): string => chunk([choice({ role: "assistant", content: "", refusal: null })]);
  let calls = 0;
  let used: Usage | undefined;
  return {
    begin,
    text: (text) => chunk([choice({ content: text })]),
    call: (call) => chunk([choice({ tool_calls: [{ index: calls++, ...toolCallOf(call) }] })]),
    end: (end) => {
      used = sumOf(used, end.usage);
      const ending =
        last === 0 ? chunk([choice({}, end.reason)], refusalOf(end)) : chunk([{ ...choice({}, end.reason), ...refusalOf(end) }]);
      if (index === last) return [ending, ...(usageAsked ? [chunk([], { usage: usageOf(used) })] : []), "data: [DONE]\n\n"].join("");
      index += 1;
      calls = 0;
      return ending + begin();
    },
    failed: ({ body }) => data(body),
  };
}

/** Of several answers: the prompt counts once, as it is the same one. */
function sumOf(first: Usage | undefined, next: Usage): Usage {
  return first === undefined ? next : { ...first, completionTokens: first.completionTokens + next.completionTokens };
}

/** Why the answer ends where it does, beside OpenAI's fields. */
export function refusalOf({ refusal, held = [] }: Partial<Ending>): object {
  if (refusal === undefined) return {};
  return { guard: { code: refusal.code, message: refusal.message, ...told(refusal.findings), ...(held.length === 0 ? {} : { held }) } };
}

function toolCallOf(call: ToolCall): object {
  return { id: newId("call_"), type: "function", function: { name: call.name, arguments: call.arguments } };
}

export function usageOf({ promptTokens, cachedTokens, completionTokens }: Usage): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}
