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
  readonly endpoint: "chat.completions" | "guard.check";
  readonly messages: readonly Message[];
  readonly stops: readonly string[];
  readonly tokensMax?: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly seed?: number;
  /** What the application calls its own user; kept as a keyed hash only. */
  readonly endUser?: string;
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** Text any number of times, then `end` once, after which nothing follows. */
export type AnswerEvent =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "end"; readonly reason: FinishReason; readonly usage: Usage; readonly refusal?: Refusal };

export type FinishReason = "stop" | "length" | "content_filter";
