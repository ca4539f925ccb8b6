import { EngineFault, type JsonSchema, type Sampling, type ToolCall, type Tools } from "../../models/engine.ts";
import { Fault } from "../fault.ts";
import type { Message } from "./guard.ts";
import type { Refusal } from "./refusal.ts";

/** Who calls, as the certificate says. */
export interface Caller {
  readonly name: string;
  readonly role: string;
  /** Of the certificate, upper-case hexadecimal. */
  readonly serial: string;
}

/** One call for an answer, checked and bounded. */
export interface Call {
  readonly id: string;
  readonly caller: Caller;
  readonly endpoint: "chat.completions" | "completions" | "embeddings" | "guard.check" | "tokens";
  readonly messages: readonly Message[];
  readonly stops: readonly string[];
  /** Functions that the answer may call. */
  readonly tools?: Tools;
  /** What an answer in JSON fits. */
  readonly schema?: JsonSchema;
  /** Calls that were held for the application to confirm, and were. */
  readonly confirmations?: readonly string[];
  readonly tokensMax?: number;
  /** The answer may end where the model's context does, before `tokensMax`. */
  readonly contextMayEnd?: boolean;
  /** What the request calls the parameters that an engine can refuse. Absent where no engine is asked. */
  readonly params?: { readonly messages: string; readonly schema: string };
  /** Absent where nothing is drawn. */
  readonly sampling?: Sampling;
  /** What the application calls its own user; kept as a keyed hash only. */
  readonly endUser?: string;
}

export interface Usage {
  readonly promptTokens: number;
  /** Of the prompt's, those that were not computed again. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

/** Text any number of times, then calls, then `end` once, after which nothing follows. `usage`: so far. */
export type AnswerEvent = { readonly usage: Usage } & (
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "call"; readonly call: ToolCall }
  | ({ readonly type: "end" } & Ending)
);

/** `refusal`: why the answer ends before its end. */
export interface Ending {
  readonly reason: FinishReason;
  /** The caller's stop text that ended it. */
  readonly stop?: string;
  readonly refusal?: Refusal;
  /** Calls that wait for the application. */
  readonly held?: readonly HeldCall[];
}

/** A call that leaves when the application confirms it: with the same messages once more, and this `confirmation`. */
export interface HeldCall extends ToolCall {
  readonly confirmation: string;
}

export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter";

/** An engine's fault with the parameter of the request that it can't honour; anything else as it is. */
export function named(error: unknown, { params, tools }: Call): unknown {
  if (!(error instanceof EngineFault)) return error;
  const param = {
    context_length_exceeded: params?.messages,
    schema_unsupported: tools === undefined ? params?.schema : "tools",
    logit_bias_unsupported: "logit_bias",
  }[error.code as string];
  return param === undefined ? error : new Fault(error.code, error.message, { param, cause: error });
}
