import { DeadlineThread } from "../deadline-thread.ts";
import { type Document, type Reading, UnreadableDocument } from "./document.ts";
import type { DocumentAnswer } from "./worker.ts";

const thread = new DeadlineThread<Document, DocumentAnswer>(new URL("worker.ts", import.meta.url));

/** Reads a file beside the thread that serves, so that no answer stands still meanwhile. Throws `UnreadableDocument`, also for one that can't be read in time. */
export async function readApart(document: Document, caller: string, signal?: AbortSignal): Promise<Reading> {
  const answer = await thread.answer(document, caller, { signal });
  if (answer === undefined) throw new UnreadableDocument("it takes too long to read");
  if ("refused" in answer) throw new UnreadableDocument(answer.refused);
  if ("failed" in answer) throw new Error(answer.failed);
  return answer.reading;
}
