import type { RequestHandler } from "express";
import type { ToolCall } from "../../../models/engine.ts";
import { newId } from "../../new-id.ts";
import type { AnswerEvent, Usage } from "../../pipeline/call.ts";
import { anthropicNames, anthropicRequestSchema, chatRequestOf } from "../../wire/anthropic-request.ts";
import { checked } from "../../wire/checked.ts";
import { answeringChat } from "../answering.ts";
import type { Service } from "../app.ts";
import { anthropicError } from "../error-body.ts";
import { type End, eventStream, type Frames, namedEvent } from "../event-stream.ts";
import { refusalOf } from "./chat-completions.ts";

/** Anthropic's `POST /v1/messages`. */
export function anthropicMessages(service: Service): RequestHandler {
  return async (request, response) => {
    const asked = checked(anthropicRequestSchema, request.body);
    await answeringChat(
      service,
      response,
      chatRequestOf(asked),
      { idPrefix: "msg_", names: anthropicNames },
      async (events, signal, { id, model }) => {
        const head = { id, type: "message", role: "assistant", model, container: null, diagnostics: null };
        if (asked.stream) await eventStream(events, framesOf(head, response.get("request-id")), response, signal);
        else response.json(await whole(events, head));
      },
    );
  };
}

type Head = object;

async function whole(events: AsyncIterable<AnswerEvent>, head: Head): Promise<object> {
  const content: object[] = [];
  let text = "";
  let ending = {};
  for await (const event of events) {
    if (event.type === "text") text += event.text;
    else if (event.type === "call") content.push(toolUseOf(event.call));
    else ending = { ...endOf(event), usage: usageOf(event.usage), ...refusalOf(event) };
  }
  return { ...head, content: [...(text === "" ? [] : [textBlockOf(text)]), ...content], ...ending };
}

/** One block after the other: text, then calls. */
function framesOf(head: Head, requestId: string | undefined): Frames {
  let index = -1;
  let isText = false;
  const event = (type: string, body: object): string => namedEvent(type, { type, ...body });
  const start = (block: object): string => {
    index += 1;
    return event("content_block_start", { index, content_block: block });
  };
  const delta = (one: object): string => event("content_block_delta", { index, delta: one });
  const stop = (): string => event("content_block_stop", { index });
  const closeText = (): string => {
    const closed = isText ? stop() : "";
    isText = false;
    return closed;
  };
  return {
    begin: (usage) =>
      event("message_start", {
        message: { ...head, content: [], stop_reason: null, stop_sequence: null, stop_details: null, usage: usageOf(usage) },
      }),
    text: (text) => {
      const opened = isText ? "" : start(textBlockOf(""));
      isText = true;
      return opened + delta({ type: "text_delta", text });
    },
    call: (call) => {
      const { input, ...block } = toolUseOf(call);
      return (
        closeText() + start({ ...block, input: {} }) + delta({ type: "input_json_delta", partial_json: JSON.stringify(input) }) + stop()
      );
    },
    end: (end) =>
      closeText() +
      event("message_delta", { delta: { container: null, ...endOf(end) }, usage: countsOf(end.usage), ...refusalOf(end) }) +
      event("message_stop", {}),
    failed: (reply) => namedEvent("error", anthropicError(reply, requestId)),
    pause: event("ping", {}),
  };
}

const stopReasons = { stop: "end_turn", length: "max_tokens", tool_calls: "tool_use", content_filter: "refusal" } as const;

/** The vendor's SDK, which puts a stream together, keeps what stands here, and nothing that stands beside it. */
function endOf(end: End): object {
  const { reason, stop, refusal } = end;
  return {
    stop_reason: stop === undefined ? stopReasons[reason] : "stop_sequence",
    stop_sequence: stop ?? null,
    stop_details: refusal === undefined ? null : { type: "refusal", category: null, explanation: refusal.message, ...refusalOf(end) },
  };
}

function textBlockOf(text: string): object {
  return { type: "text", text, citations: null };
}

function toolUseOf({ name, arguments: given }: ToolCall): { type: string; id: string; name: string; input: unknown; caller: object } {
  return { type: "tool_use", id: newId("toolu_"), name, input: JSON.parse(given), caller: { type: "direct" } };
}

function usageOf(usage: Usage): object {
  return { ...countsOf(usage), cache_creation: null, service_tier: null, inference_geo: null, speed: null };
}

/** What was cached was not read again, and is counted apart. */
function countsOf({ promptTokens, completionTokens, cachedTokens }: Usage): object {
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_read_input_tokens: cachedTokens,
    cache_creation_input_tokens: 0,
    output_tokens: completionTokens,
    output_tokens_details: null,
    server_tool_use: null,
  };
}
