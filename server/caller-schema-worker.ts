/** Reads callers' schemas and holds values to them: a thread that may be ended at any moment. */
import { parentPort } from "node:worker_threads";
import type { JsonSchema } from "../models/engine.ts";
import { misfitOf, SchemaError } from "./json-schema.ts";

export interface SchemaTask {
  readonly schema: JsonSchema;
  readonly caller: string;
  /** JSON text to be held to the schema; absent where only the schema is looked at. */
  readonly json?: string;
}

/** `refused`: why the schema can't be used. */
export type SchemaAnswer = { readonly misfit: string | undefined } | { readonly refused: string; readonly code: SchemaError["code"] };

parentPort?.on("message", (task: SchemaTask) => parentPort?.postMessage(answerTo(task)));
// The schema of schemas is compiled at the first look: none of the caller's time.
misfitOf({});
parentPort?.postMessage("ready");

function answerTo({ schema, caller, json }: SchemaTask): SchemaAnswer {
  try {
    const misfit = misfitOf(schema, caller);
    return { misfit: json === undefined ? undefined : misfit(JSON.parse(json)) };
  } catch (error) {
    if (error instanceof SchemaError) return { refused: error.message, code: error.code };
    return { misfit: error instanceof Error ? error.message : String(error) };
  }
}
