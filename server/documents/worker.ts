/** Reads files: a thread that may be ended at any moment. */
import { parentPort } from "node:worker_threads";
import { type Document, type Reading, UnreadableDocument } from "./document.ts";
import { readDocument } from "./read-document.ts";

/** `refused`: why the file can't be read. */
export type DocumentAnswer = { readonly reading: Reading } | { readonly refused: string } | { readonly failed: string };

parentPort?.on("message", async (document: Document) => parentPort?.postMessage(await answerTo(document)));
parentPort?.postMessage("ready");

async function answerTo({ bytes, ...document }: Document): Promise<DocumentAnswer> {
  try {
    return { reading: await readDocument({ ...document, bytes: Buffer.from(bytes) }) };
  } catch (error) {
    if (error instanceof UnreadableDocument) return { refused: error.message };
    return { failed: error instanceof Error ? error.message : String(error) };
  }
}
