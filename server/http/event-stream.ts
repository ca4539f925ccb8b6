import type { Response } from "express";
import type { ToolCall } from "../../models/engine.ts";
import type { AnswerEvent } from "../pipeline/call.ts";
import { type ErrorReply, replyTo } from "./error-body.ts";
import { write } from "./running-calls.ts";

export type End = Extract<AnswerEvent, { type: "end" }>;

/** How an answer looks as server-sent events. */
export interface Frames {
  /** Before everything else. */
  begin?(): string;
  text(text: string): string;
  /** Absent where nothing can be called. */
  call?(call: ToolCall): string;
  end(end: End): string;
  /** In place of the end, when text has left already. */
  failed(body: ErrorReply["body"], reply: ErrorReply): string;
}

/** Streams what leaves: one answer, or several of which each ends before the next begins. Until the first event an error has a status of its own, and is thrown. */
export async function eventStream(
  events: AsyncIterable<AnswerEvent>,
  frames: Frames,
  response: Response,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const event of events) {
      if (!response.headersSent) {
        response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store" });
        if (frames.begin !== undefined) await write(response, frames.begin(), signal);
      }
      if (event.type === "text") await write(response, frames.text(event.text), signal);
      else if (event.type === "call") await write(response, frames.call?.(event.call) ?? "", signal);
      else response.write(frames.end(event));
    }
    response.end();
  } catch (error) {
    if (!response.headersSent) throw error;
    response.locals.error = error;
    const reply = replyTo(error);
    response.end(frames.failed(reply.body, reply));
  }
}

/** One event with a name. */
export function namedEvent(name: string, value: object): string {
  return `event: ${name}\n${data(value)}`;
}

/** One event that has no name. */
export function data(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}
