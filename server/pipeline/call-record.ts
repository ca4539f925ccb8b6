import { EngineFault, type Model } from "../../models/engine.ts";
import type { AuditLog } from "../audit/audit-log.ts";
import type { Quota, Reservation } from "../audit/quotas.ts";
import { Fault } from "../fault.ts";
import type { Call, FinishReason, Usage } from "./call.ts";
import { type Finding, findingsMax, told } from "./finding.ts";
import type { Prompt } from "./guard.ts";
import type { Inspection } from "./inspect.ts";
import { Refusal } from "./refusal.ts";

/** Room for what is put around a caller's texts: marks, the template, the operator's words. */
const overheadTokens = 256;

/** What is fixed before a call comes in. */
export interface RecordContext {
  readonly policy: { readonly name: string; readonly sha256: string };
  /** Whether prompt and answer are stored, encrypted; otherwise only their keyed hashes are. */
  readonly storesText: boolean;
  readonly quota?: Quota | undefined;
  /** How often an answer may be generated. */
  readonly attemptsMax: number;
}

/** A model that is asked; one that writes nothing has no context. */
export type AskedModel = Pick<Model, "id" | "sha256"> & Partial<Pick<Model, "contextTokens">>;

export interface Settlement {
  readonly outcome: "answered" | "refused" | "failed" | "cancelled";
  readonly reason?: FinishReason;
  /** Of all attempts together. */
  readonly usage: Usage;
  readonly error?: unknown;
}

/** Throws a `Fault` when the caller may not ask this model, or its quota has no room for a call of so many tokens; without them, for any call at all. */
export function checkAllowed(
  { quotas }: Pick<AuditLog, "quotas">,
  { quota }: Pick<RecordContext, "quota">,
  caller: string,
  model?: AskedModel,
  tokens = 0,
): void {
  if (quota === undefined) return;
  if (model !== undefined && quota.models?.includes(model.id) === false)
    throw new Fault("model_not_allowed", undefined, { param: "model" });
  quotas.check(caller, quota, tokens);
}

/** The two entries of one call: `received` before inference, `settled` before "done". Never holds text in the clear. */
export class CallRecord {
  readonly #log: AuditLog;
  readonly #context: RecordContext;
  readonly #startedMs = performance.now();
  readonly #findings: Finding[] = [];
  #found = 0;
  #answer = "";
  #firstTextMs: number | undefined;
  #call: string | undefined;
  #reservation: Reservation | undefined;

  constructor(log: AuditLog, context: RecordContext) {
    this.#log = log;
    this.#context = context;
  }

  /** Before a call is judged, which costs more than to refuse it. Throws a `Fault` as `checkAllowed` does. */
  allowed(call: Call, model: AskedModel | undefined): void {
    checkAllowed(this.#log, this.#context, call.caller.name, model, this.#mostTokens(call, model));
  }

  /** Of a call that `allowed` let pass. Throws a `Fault` where others have used up the quota meanwhile; then nothing is recorded. */
  received(call: Call, model: AskedModel | undefined, asked: Inspection<Prompt>): void {
    const { id, caller, endpoint, messages, endUser, stops, tokensMax, contextMayEnd, tools, schema, sampling = {} } = call;
    const { logitBias } = sampling;
    const { quota } = this.#context;
    const reserved = this.#mostTokens(call, model);
    const { quotas } = this.#log;
    if (quota === undefined) quotas.uncounted(caller.name);
    const reservation = quota && quotas.reserve(caller.name, quota, reserved);
    const texts: Buffer[] = [];
    const body = {
      endpoint,
      caller,
      model: model && { id: model.id, sha256: model.sha256 },
      policy: this.#context.policy,
      // Tokens spell texts, so they are counted as stop texts are.
      sampling: { ...sampling, logitBias: logitBias && Object.keys(logitBias).length, tokensMax, contextMayEnd, stops: stops.length },
      endUser: endUser === undefined ? undefined : this.#log.digest(endUser),
      messages: messages.map(({ role, origin, isCall, passage }) => ({ role, origin, isCall, ...this.#keep(passage.text, texts) })),
      tools: tools && this.#keep(JSON.stringify(tools.offered), texts),
      schema: schema && this.#keep(JSON.stringify(schema), texts),
      decision: asked.action,
      ...told(asked.findings),
      reserved,
    };
    try {
      this.#write(() => this.#log.append("received", id, body, texts));
    } catch (error) {
      if (reservation !== undefined) quotas.settle(reservation, 0, false);
      throw error;
    }
    this.#call = id;
    this.#reservation = reservation;
  }

  judged(findings: readonly Finding[]): void {
    this.#findings.push(...findings.slice(0, findingsMax - this.#findings.length));
    this.#found += findings.length;
  }

  /** `text` is about to leave. */
  released(text: string): void {
    this.#firstTextMs ??= performance.now();
    this.#answer += text;
  }

  /** The first call counts; a call that was never recorded as received is not settled either. */
  settled({ outcome, reason, usage, error }: Settlement): void {
    if (this.#call === undefined) return;
    const id = this.#call;
    this.#call = undefined;
    const texts: Buffer[] = [];
    const body = {
      outcome,
      reason,
      code: error === undefined ? undefined : codeOf(error),
      usage,
      answer: this.#keep(this.#answer, texts),
      findings: this.#findings,
      findings_total: this.#found,
      firstTextMs: this.#firstTextMs && Math.round(this.#firstTextMs - this.#startedMs),
      totalMs: Math.round(performance.now() - this.#startedMs),
    };
    if (this.#reservation !== undefined)
      this.#log.quotas.settle(this.#reservation, usage.promptTokens + usage.completionTokens, outcome !== "failed");
    this.#write(() => this.#log.append("settled", id, body, texts));
  }

  /** What a call may take at most: no tokenizer makes more tokens of a text than it has bytes. */
  #mostTokens({ messages, tools, tokensMax }: Call, model: AskedModel | undefined): number {
    if (model === undefined) return 0;
    const texts = [...messages.map(({ passage }) => passage.text), tools === undefined ? "" : JSON.stringify(tools)];
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), overheadTokens);
    if (model.contextTokens === undefined) return bytes;
    const answer = Math.min(tokensMax ?? model.contextTokens, model.contextTokens);
    return (Math.min(bytes, model.contextTokens) + answer) * this.#context.attemptsMax;
  }

  #keep(text: string, texts: Buffer[]): { chars: number; hmac: string; stored?: string } {
    const kept = { chars: text.length, hmac: this.#log.digest(text) };
    if (!this.#context.storesText) return kept;
    const { name, sealed } = this.#log.seal(text);
    texts.push(sealed);
    return { ...kept, stored: name };
  }

  #write(append: () => void): void {
    try {
      append();
    } catch (cause) {
      throw new Fault("audit_unavailable", undefined, { cause });
    }
  }
}

function codeOf(error: unknown): string {
  if (error instanceof Fault || error instanceof EngineFault || error instanceof Refusal) return error.code;
  return error instanceof DOMException && error.name === "AbortError" ? "client_gone" : "internal_error";
}
