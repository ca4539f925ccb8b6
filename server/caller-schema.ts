import type { JsonSchema } from "../models/engine.ts";
import type { SchemaAnswer, SchemaTask } from "./caller-schema-worker.ts";
import { DeadlineThread, type Place } from "./deadline-thread.ts";
import { SchemaError } from "./json-schema.ts";

/** A short schema can take for ever, to read or to hold a value to. */
const thread = new DeadlineThread<SchemaTask, SchemaAnswer>(new URL("caller-schema-worker.ts", import.meta.url));

/** Throws `SchemaError` for what is not a schema, or can't be read in time. */
export async function checkSchema(schema: JsonSchema, caller: string, signal?: AbortSignal): Promise<void> {
  await answerTo({ schema, caller }, { signal });
}

/** What is wrong with a value (JSON text) of an answer; undefined when it fits. What can't be said in time does not fit. It waits for nothing else of its caller: an answer that is there is not thrown away because much more is asked. */
export async function misfitIn(json: string, schema: JsonSchema, caller: string): Promise<string | undefined> {
  try {
    return await answerTo({ schema, caller, json }, { first: true });
  } catch (error) {
    if (error instanceof SchemaError) return error.message;
    throw error;
  }
}

async function answerTo(task: SchemaTask, place: Place): Promise<string | undefined> {
  const answer = await thread.answer(task, task.caller, place);
  if (answer === undefined) throw new SchemaError("takes too long to check. Simplify it");
  if ("refused" in answer) throw new SchemaError(answer.refused, answer);
  return answer.misfit;
}
