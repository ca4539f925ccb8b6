import type { Tool } from "../../models/engine.ts";
import type { Finding } from "./finding.ts";
import type { Passage, Span } from "./passage.ts";
import type { Pseudonyms } from "./pseudonyms.ts";
import type { RefusalCode } from "./refusal.ts";
import type { Wait } from "./segment.ts";

/** Who wrote a text: `operator` is system and developer text, `model` an earlier answer; `document` and `tool` are untrusted data. */
export type Origin = "operator" | "user" | "model" | "document" | "tool";

export interface Message {
  readonly role: "system" | "developer" | "user" | "assistant" | "tool";
  /** Of the message in the request that it is, or is a part of; undefined for what stands beside them. */
  readonly index: number | undefined;
  readonly origin: Origin;
  readonly passage: Passage;
  /** The text is a call, as JSON: `name` and `arguments`. It belongs to the message before it. */
  readonly isCall?: true;
  /** Parts of a file that are no text, and are neither judged nor read by the model. */
  readonly unread?: readonly string[];
}

/** Whether a message is data from outside, which gives no orders. */
export function isUntrusted({ origin }: Message): boolean {
  return origin === "document" || origin === "tool";
}

/** The subject of the input gate. */
export interface Prompt {
  readonly messages: readonly Message[];
  readonly pseudonyms: Pseudonyms;
}

export interface Answered {
  /** A JSON text, whose strings are shown one by one: none says what another is. */
  readonly isJson: boolean;
}

/** The subject of the output gate: a guard sees `before + text + ahead`, and only `text` may be released. */
export interface Segment {
  /** All that was released before, until the next segment comes. */
  readonly released: Passage;
  /** The end of it: as much as a pattern may need. */
  readonly before: string;
  readonly passage: Passage;
  readonly ahead: string;
  /** No text follows. */
  readonly last: boolean;
  /** The same for all segments of an answer that a guard sees. */
  readonly answer?: Answered;
}

/** What of a conversation comes from outside: nothing, something, or something in which a guard found what it looks for. */
export type Exposure = "none" | "untrusted" | "finding";

/** A call that an answer makes, before the caller hears of it. */
export interface ProposedCall {
  readonly tool: Tool;
  /** JSON text. */
  readonly arguments: string;
  readonly exposure: Exposure;
  /** The application has confirmed this call. */
  readonly confirmed: boolean;
}

/** What judges calls. */
export interface ToolGate extends Guard<ProposedCall> {
  /** Whether the model hears of a function at all. */
  offers(tool: string): boolean;
  /** Whether the caller's personal data may stand in its arguments. */
  restores(tool: string): boolean;
}

/** There is no error verdict: a guard that throws blocks. `code` is the stable reason a client sees. */
export type Verdict<Subject> =
  | { readonly action: "pass"; readonly findings: readonly Finding[] }
  | { readonly action: "rewrite"; readonly subject: Subject; readonly findings: readonly Finding[] }
  | { readonly action: "block"; readonly code: RefusalCode; readonly findings: readonly Finding[] };

/** For whom a guard judges, and until when. */
export interface Asking {
  /** Name of the caller: nobody learns from the time a verdict takes what another sent. */
  readonly caller: string;
  readonly signal?: AbortSignal;
}

export interface Guard<Subject> {
  readonly name: string;
  /** Those after it begin when it has passed: what it refuses would cost them too much. */
  readonly alone?: boolean;
  inspect(subject: Subject, asking: Asking): Verdict<Subject> | Promise<Verdict<Subject>>;
}

/** A guard of the output gate also says what must not be released in part. */
export interface SegmentGuard extends Guard<Segment> {
  readonly wait: Wait;
  /** It may put a text in the place of another. Those after it wait by what it left: an answer has left it before they see any of it. */
  readonly rewrites?: boolean;
  /** It judges whole sentences, one at a time. */
  readonly bySentence?: boolean;
  /** What the end of a sentence must not cut, in order: a part of it says nothing. */
  readonly whole?: (text: string) => readonly Span[];
}
