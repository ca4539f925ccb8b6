import type { Response } from "express";
import type { ToolCall } from "../../models/engine.ts";
import type { AnswerEvent, Usage } from "../pipeline/call.ts";
import { type ErrorReply, replyTo } from "./error-body.ts";
import { write } from "./running-calls.ts";

export type End = Extract<AnswerEvent, { type: "end" }>;

/** How an answer looks as server-sent events. */
export interface Frames {
  /** Before everything else. `usage`: so far. */
  begin?(usage: Usage): string;
  text(text: string): string;
  /** Absent where nothing can be called. */
  call?(call: ToolCall): string;
  end(end: End): string;
  /** In place of the end, when text has left already. */
  failed(reply: ErrorReply): string;
  /** While nothing leaves for long. Absent: a comment. */
  readonly pause?: string;
}

/** Clients and what stands between end a connection that is silent for minutes; after some text a call may be composed for so long, and is told of when all of it is judged. */
const pauseMsDefault = 15_000;

/** For so long whoever reads slowly may take to read to the end what was ended. */
const unreadMs = 5_000;

/** Streams what leaves: one answer, or several of which each ends before the next begins. Until the first event an error has a status of its own, and is thrown. `pauseMs`: so long is silence. */
export async function eventStream(
  events: AsyncIterable<AnswerEvent>,
  frames: Frames,
  response: Response,
  signal: AbortSignal,
  { pauseMs = pauseMsDefault }: { pauseMs?: number } = {},
): Promise<void> {
  const pause = setInterval(() => {
    if (response.headersSent && !response.writableNeedDrain) response.write(frames.pause ?? ": \n\n");
  }, pauseMs);
  try {
    for await (const event of events) {
      pause.refresh();
      if (!response.headersSent) {
        response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store" });
        if (frames.begin !== undefined) await write(response, frames.begin(event.usage), signal);
      }
      if (event.type === "text") await write(response, frames.text(event.text), signal);
      else if (event.type === "call") await write(response, frames.call?.(event.call) ?? "", signal);
      else response.write(frames.end(event));
    }
    response.end();
  } catch (error) {
    if (!response.headersSent) throw error;
    response.locals.error = error;
    response.end(frames.failed(replyTo(error)));
    if (signal.aborted) closeUnread(response);
  } finally {
    clearInterval(pause);
  }
}

/** Who reads nothing would keep the connection, and what waits to be read, for as long as it likes. */
function closeUnread(response: Response): void {
  const unread = setTimeout(() => response.destroy(), unreadMs).unref();
  response.once("close", () => clearTimeout(unread));
}

/** One event with a name. */
export function namedEvent(name: string, value: object): string {
  return `event: ${name}\n${data(value)}`;
}

/** One event that has no name. */
export function data(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}
