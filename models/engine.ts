export { gpuChoices } from "./gpu.ts";

/** One turn of a conversation, as the model sees it. */
export interface Turn {
  readonly role: "system" | "user" | "assistant";
  readonly text: string;
  /** Of an assistant's turn: what it called after it had said `text`. */
  readonly calls?: readonly string[];
}

export type JsonSchema = { readonly [keyword: string]: unknown };

/** A function that the model may ask the caller to run. */
export interface Tool {
  readonly name: string;
  readonly description?: string;
  /** Of its arguments, which are an object. */
  readonly parameters: JsonSchema;
  /** Arguments fit the schema, or the call is refused before it begins. */
  readonly strict: boolean;
}

export interface ToolCall {
  readonly name: string;
  /** JSON text of an object. */
  readonly arguments: string;
}

export interface Tools {
  readonly offered: readonly Tool[];
  /** The answer is a call, not text. */
  readonly required: boolean;
  /** An answer may hold several calls. */
  readonly parallel: boolean;
}

/** How tokens are drawn. Values that are absent are the model's own defaults. */
export interface Sampling {
  readonly temperature?: number | undefined;
  readonly topP?: number | undefined;
  /** Only so many of the likeliest tokens. */
  readonly topK?: number | undefined;
  /** Only tokens at least so likely, as a share of the likeliest. */
  readonly minP?: number | undefined;
  /** Less for each token that the answer holds already. */
  readonly presencePenalty?: number | undefined;
  /** Less for each time that the answer holds a token already. */
  readonly frequencyPenalty?: number | undefined;
  /** Added to logits, by the number of a token in the model's own vocabulary; -100 forbids the token, unless nothing else fits the form of the answer. */
  readonly logitBias?: Readonly<Record<string, number>> | undefined;
  /** Absent: another one for each answer. */
  readonly seed?: number | undefined;
}

/** What to generate. */
export interface Generation extends Sampling {
  readonly turns: readonly Turn[];
  /** Whose call it is. What an engine keeps of a call is never used for another identity, and places are shared out between identities. */
  readonly identity: string;
  /** What the system text begins with, where that is the operator's and no caller's: what is computed of it serves every identity. */
  readonly shared?: string;
  readonly tools?: Tools;
  /** The answer is JSON that fits this. */
  readonly schema?: JsonSchema;
  /** In place of turns: a text to go on with, as it stands and without the model's template. */
  readonly text?: string;
  /** Most tokens to generate; absent means as many as the context leaves. */
  readonly tokensMax?: number;
  /** The answer may end where the context does, before `tokensMax`. */
  readonly contextMayEnd?: boolean;
  /** It takes a place that nobody waits for, and ends with `gave_way` when somebody does. */
  readonly background?: boolean;
}

/**
 * In this order: `prompt` once (before the prompt is evaluated; `cached` of its tokens needn't be, they were left by an earlier call of the same
 * identity, or are `shared`), `text` and `call` any number of times, `end` once. A call is told whole.
 */
export type EngineEvent =
  | { readonly type: "prompt"; readonly tokens: number; readonly cached: number }
  | { readonly type: "text"; readonly text: string; readonly tokens: number }
  | { readonly type: "call"; readonly call: ToolCall; readonly tokens: number }
  | { readonly type: "end"; readonly reason: "stop" | "length" };

/** A model, as `/v1/models` and the audit log name it. */
export interface Model {
  readonly id: string;
  /** Prompt and answer of one call together. */
  readonly contextTokens: number;
  /** Of the weights; absent for an engine that has none. */
  readonly sha256?: string;
  /** What computes, in words; absent for an engine that computes nothing. */
  readonly device?: string;
  /** Texts that end an answer of this model, besides its end-of-turn token. Known when it is loaded, so before its first event. */
  readonly stops: readonly string[];
  /** Absent: there is nothing to load. */
  readonly isLoaded?: boolean;
}

/** Generates text. Ending the iteration early, or aborting `signal`, cancels: while queued, in prefill and in decode. */
export interface Engine extends AsyncDisposable {
  readonly model: Model;
  /** Undefined when a call would be answered, if need be after the model was loaded; otherwise a sentence that says why not. */
  readonly notReady: string | undefined;
  /** Absent: any number of calls is answered at once. */
  readonly load?: Load;
  /** Absent: it has no process of its own. */
  watch?(watcher: EngineWatcher): void;
  /** Throws `EngineFault`; throws the signal's reason when aborted. */
  generate(generation: Generation, signal: AbortSignal): AsyncIterable<EngineEvent>;
  /** The prompt as the model would read it, in numbers of its vocabulary; nothing is computed. Throws like `generate`. */
  tokenise(generation: Generation, signal: AbortSignal): Promise<readonly number[]>;
}

/** Is told what becomes of an engine's process. */
export interface EngineWatcher {
  loaded(how: { readonly ms: number; readonly device: string }): void;
  /** Its memory was needed for another model. */
  unloaded(): void;
  /** It could not be loaded. */
  failed(because: string): void;
  /** It ended by itself, or was ended because it got no further; it is started again. */
  died(because: string): void;
}

export type EngineFaultCode =
  | "schema_unsupported"
  | "logit_bias_unsupported"
  | "context_length_exceeded"
  | "queue_full"
  | "gave_way"
  | "engine_died"
  | "engine_unavailable";

/** Places that calls hold, until what they left is put in order, and calls that wait for one. */
export interface Load {
  readonly busy: number;
  readonly waiting: number;
}

/** The engine can't answer this call; the message says why, in words fit for the caller. */
export class EngineFault extends Error {
  readonly code: EngineFaultCode;
  readonly queue: QueueState | undefined;

  constructor(code: EngineFaultCode, message: string, queue?: QueueState) {
    super(message);
    this.code = code;
    this.queue = queue;
  }
}

/** Of a call that found the queue full: the place it would have had, and when that comes up if calls take as long as the last ones did. */
interface QueueState {
  readonly position: number;
  readonly retryAfterMs: number;
}
