import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { JsonSchema } from "../models/engine.ts";
import type { SchemaAnswer, SchemaTask } from "./caller-schema-worker.ts";
import { SchemaError } from "./json-schema.ts";

/** A short schema can take for ever, to read or to hold a value to. */
const deadlineMs = 2_000;
const startMs = 30_000;
const heapMaxMb = 256;

/** Throws `SchemaError` for what is not a schema, or can't be read in time. */
export async function checkSchema(schema: JsonSchema): Promise<void> {
  await inTurn({ schema });
}

/** What is wrong with a value (JSON text); undefined when it fits. What can't be said in time does not fit. */
export async function misfitIn(json: string, schema: JsonSchema): Promise<string | undefined> {
  try {
    return await inTurn({ schema, json });
  } catch (error) {
    if (error instanceof SchemaError) return error.message;
    throw error;
  }
}

let worker: Promise<Worker> | undefined;
let last: Promise<unknown> = Promise.resolve();

/** One at a time, so that a deadline is the task's own. */
async function inTurn(task: SchemaTask): Promise<string | undefined> {
  const turn = last.then(() => answerTo(task));
  last = turn.catch(() => {});
  const answer = await turn;
  if ("refused" in answer) throw new SchemaError(answer.refused);
  return answer.misfit;
}

async function answerTo(task: SchemaTask): Promise<SchemaAnswer> {
  worker ??= start();
  const thread = await worker.catch((cause) => {
    worker = undefined;
    throw cause;
  });
  thread.ref();
  try {
    thread.postMessage(task);
    const [answer] = await once(thread, "message", { signal: AbortSignal.timeout(deadlineMs) });
    return answer;
  } catch {
    // It is too slow, or used up its memory.
    worker = undefined;
    await thread.terminate();
    return { refused: "takes too long to check. Simplify it" };
  } finally {
    thread.unref();
  }
}

async function start(): Promise<Worker> {
  const started = new Worker(new URL("caller-schema-worker.ts", import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: heapMaxMb },
  });
  // What ends it between two tasks shows at the next one.
  started.on("error", () => {});
  await once(started, "message", { signal: AbortSignal.timeout(startMs) });
  started.unref();
  return started;
}
