import type { RequestHandler } from "express";
import type { ToolCall } from "../../../models/engine.ts";
import { newId } from "../../new-id.ts";
import type { AnswerEvent } from "../../pipeline/call.ts";
import { checked } from "../../wire/checked.ts";
import { chatRequestOf, type ResponsesRequest, responsesNames, responsesRequestSchema } from "../../wire/responses-request.ts";
import { answeringChat } from "../answering.ts";
import type { Service } from "../app.ts";
import { type End, eventStream, type Frames, namedEvent } from "../event-stream.ts";
import { refusalOf } from "./chat-completions.ts";

/** OpenAI's `POST /v1/responses`, without a memory: nothing is stored, and conversations are sent whole. */
export function responses(service: Service): RequestHandler {
  return async (request, response) => {
    const asked = checked(responsesRequestSchema, request.body);
    const named = { idPrefix: "resp_", names: responsesNames };
    await answeringChat(service, response, chatRequestOf(asked), named, async (events, signal, head) => {
      const made = new Made(head, asked);
      if (asked.stream) return await eventStream(events, made.frames, response, signal);
      for await (const event of events) made.take(event);
      response.json(made.response);
    });
  };
}

type Item = Readonly<Record<string, unknown>>;

/** What has been made of an answer. */
class Made {
  readonly #head: object;
  readonly #request: ResponsesRequest;
  #done: Item[] = [];
  #text: { readonly id: string; content: string } | undefined;
  #end: End | undefined;
  #sequence = 0;

  constructor(head: { id: string; model: string }, request: ResponsesRequest) {
    this.#head = { ...head, object: "response", created_at: Math.floor(Date.now() / 1000) };
    this.#request = request;
  }

  /** The response object, as far as it is. */
  get response(): object {
    const { instructions, max_output_tokens, temperature, top_p, tools, tool_choice, parallel_tool_calls, text, metadata, user } =
      this.#request;
    const end = this.#end;
    const cut = end?.reason === "length" ? "max_output_tokens" : end?.reason === "content_filter" ? "content_filter" : undefined;
    return {
      ...this.#head,
      status: end === undefined ? "in_progress" : cut === undefined ? "completed" : "incomplete",
      error: null,
      incomplete_details: cut === undefined ? null : { reason: cut },
      output: this.#done,
      usage: end === undefined ? null : usageOf(end),
      instructions: instructions ?? null,
      max_output_tokens: max_output_tokens ?? null,
      temperature: temperature ?? null,
      top_p: top_p ?? null,
      tools: tools ?? [],
      tool_choice: tool_choice ?? "auto",
      parallel_tool_calls: parallel_tool_calls ?? true,
      text: text ?? { format: { type: "text" } },
      metadata: metadata ?? {},
      user: user ?? null,
      previous_response_id: null,
      access_programs: null,
      reasoning: { effort: null, summary: null },
      store: false,
      truncation: "disabled",
      ...(end === undefined ? {} : refusalOf(end)),
    };
  }

  take(event: AnswerEvent): string {
    if (event.type === "text") return this.#takeText(event.text);
    if (event.type === "call") return this.#closeText() + this.#takeCall(event.call);
    return this.#takeEnd(event);
  }

  get frames(): Frames {
    return {
      begin: () =>
        this.#event("response.created", { response: this.response }) + this.#event("response.in_progress", { response: this.response }),
      text: (text) => this.#takeText(text),
      call: (call) => this.#closeText() + this.#takeCall(call),
      end: (end) => this.#takeEnd(end),
      failed: ({ body: { error } }) => this.#event("error", { code: error.code, message: error.message, param: error.param }),
    };
  }

  #takeEnd(end: End): string {
    const closed = this.#closeText();
    this.#end = end;
    const isCut = end.reason === "length" || end.reason === "content_filter";
    return closed + this.#event(isCut ? "response.incomplete" : "response.completed", { response: this.response });
  }

  #takeText(text: string): string {
    let opened = "";
    if (this.#text === undefined) {
      this.#text = { id: newId("msg_"), content: "" };
      opened =
        this.#event("response.output_item.added", {
          output_index: this.#done.length,
          item: { ...messageOf(this.#text), status: "in_progress", content: [] },
        }) + this.#event("response.content_part.added", { ...this.#place(this.#text.id), part: partOf("") });
    }
    this.#text.content += text;
    return opened + this.#event("response.output_text.delta", { ...this.#place(this.#text.id), delta: text, logprobs: [] });
  }

  #closeText(): string {
    const text = this.#text;
    if (text === undefined) return "";
    this.#text = undefined;
    const place = this.#place(text.id);
    const item = messageOf(text);
    const closed =
      this.#event("response.output_text.done", { ...place, text: text.content, logprobs: [] }) +
      this.#event("response.content_part.done", { ...place, part: partOf(text.content) }) +
      this.#event("response.output_item.done", { output_index: this.#done.length, item });
    this.#done.push(item);
    return closed;
  }

  #takeCall({ name, arguments: given }: ToolCall): string {
    const item = { type: "function_call", id: newId("fc_"), call_id: newId("call_"), name, arguments: given, status: "completed" };
    const place = { item_id: item.id, output_index: this.#done.length };
    const told =
      this.#event("response.output_item.added", {
        output_index: place.output_index,
        item: { ...item, arguments: "", status: "in_progress" },
      }) +
      this.#event("response.function_call_arguments.delta", { ...place, delta: given }) +
      this.#event("response.function_call_arguments.done", { ...place, name, arguments: given }) +
      this.#event("response.output_item.done", { output_index: place.output_index, item });
    this.#done.push(item);
    return told;
  }

  #place(id: string): object {
    return { item_id: id, output_index: this.#done.length, content_index: 0 };
  }

  #event(type: string, body: object): string {
    return namedEvent(type, { type, sequence_number: this.#sequence++, ...body });
  }
}

function messageOf({ id, content }: { readonly id: string; readonly content: string }): Item {
  return { type: "message", id, status: "completed", role: "assistant", content: [partOf(content)] };
}

function partOf(text: string): object {
  return { type: "output_text", text, annotations: [], logprobs: [] };
}

function usageOf({ usage: { promptTokens, completionTokens, cachedTokens } }: End): object {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens, cache_write_tokens: 0 },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: promptTokens + completionTokens,
  };
}
