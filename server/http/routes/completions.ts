import { randomUUID } from "node:crypto";
import type { RequestHandler } from "express";
import type { AnswerEvent } from "../../pipeline/call.ts";
import { checked } from "../../wire/checked.ts";
import { type CompletionRequest, completionCallOf, completionRequestSchema } from "../../wire/completion-request.ts";
import { answersTo } from "../answering.ts";
import type { Service } from "../app.ts";
import { callerOf } from "../caller.ts";
import { engineFor } from "../engine-for.ts";
import { data, eventStream, type Frames } from "../event-stream.ts";
import { refusalOf, usageOf } from "./chat-completions.ts";

/** OpenAI's older `POST /v1/completions`: a text goes on, without roles and without the model's template. */
export function completions(service: Service): RequestHandler {
  return async (request, response) => {
    const asked = checked(completionRequestSchema, request.body);
    const engine = engineFor(service, asked.model);
    const caller = callerOf(response);
    const policy = service.policies.for(caller.name);
    const call = completionCallOf(asked, { id: `cmpl-${randomUUID()}`, caller });
    const head: Head = { id: call.id, object: "text_completion", created: Math.floor(Date.now() / 1000), model: engine.model.id };
    await service.running.run(response, async (signal) => {
      const events = answersTo(service, response, [call], { engine, policy }, signal);
      if (asked.stream) await eventStream(events, framesOf(head, asked), response, signal);
      else response.json(await whole(events, head));
    });
  };
}

interface Head {
  readonly id: string;
  readonly object: "text_completion";
  readonly created: number;
  readonly model: string;
}

async function whole(events: AsyncIterable<AnswerEvent>, head: Head): Promise<object> {
  let text = "";
  let rest = {};
  for await (const event of events) {
    if (event.type === "text") text += event.text;
    if (event.type === "end") rest = { choices: [choice(text, event.reason)], usage: usageOf(event.usage), ...refusalOf(event) };
  }
  return { ...head, ...rest };
}

function framesOf(head: Head, { stream_options }: CompletionRequest): Frames {
  const usageAsked = stream_options?.include_usage === true;
  const chunk = (choices: object[], more: object = {}): string =>
    data({ ...head, choices, ...(usageAsked ? { usage: null } : {}), ...more });
  return {
    text: (text) => chunk([choice(text, null)]),
    end: ({ usage, ...ending }) =>
      [
        chunk([choice("", ending.reason)], refusalOf(ending)),
        ...(usageAsked ? [chunk([], { usage: usageOf(usage) })] : []),
        "data: [DONE]\n\n",
      ].join(""),
    failed: ({ body }) => data(body),
  };
}

function choice(text: string, reason: string | null): object {
  return { index: 0, text, logprobs: null, finish_reason: reason };
}
