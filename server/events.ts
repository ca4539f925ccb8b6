import { type Logger, pino } from "pino";
import type { Egress } from "./egress.ts";
import { type EngineState, Metrics } from "./metrics.ts";

/** What the service says about itself, in its log and its metrics, one function an event. Takes named fields only: no text of a prompt or an answer can get in by accident. */
export class Events {
  readonly #log: Logger;
  readonly #metrics = new Metrics();

  /** JSON lines on standard error. */
  constructor(level: string = process.env.LOG_LEVEL ?? "info") {
    this.#log = pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: true }));
  }

  started(fields: { readonly url: string; readonly models: readonly string[]; readonly policy: string }): void {
    this.#log.info(fields, "started");
  }

  /** What the start found when it tried to leave the host. */
  egressTested({ refused, ways }: Egress): void {
    if (refused) this.#log.info("egress refused");
    else this.#log.warn({ ways }, "egress open");
  }

  stopping(fields: { readonly running: number }): void {
    this.#log.info(fields, "stopping");
  }

  /** `code` is absent when the call was answered. */
  callEnded(fields: {
    /** As in the response's `x-request-id`. */
    readonly id: string;
    /** As in the audit log. */
    readonly call?: string;
    readonly caller: string;
    readonly path: string;
    readonly status: number;
    readonly code?: string;
    readonly ms: number;
  }): void {
    this.#log.info(fields, "call");
    const { path, status, code, ms } = fields;
    this.#metrics.requests.observe({ path, status }, ms / 1000);
    if (code !== undefined) this.#metrics.refusals.inc({ code });
  }

  /** An answer was cut short by a guard: its caller has a part of it, and no error. */
  answerCut({ code }: { readonly code: string }): void {
    this.#metrics.refusals.inc({ code });
  }

  /** Text passed both gates for the first time. */
  firstText({ model, ms }: { readonly model: string; readonly ms: number }): void {
    this.#metrics.firstText.observe({ model }, ms / 1000);
  }

  /** The engine began with a prompt. `queuedMs`: absent for what waits by design. */
  promptTaken({ model, tokens, queuedMs }: { readonly model: string; readonly tokens: number; readonly queuedMs?: number }): void {
    if (queuedMs !== undefined) this.#metrics.queued.observe({ model }, queuedMs / 1000);
    this.#metrics.tokens.inc({ model, kind: "prompt" }, tokens);
  }

  tokensCame({ model, tokens }: { readonly model: string; readonly tokens: number }): void {
    this.#metrics.tokens.inc({ model, kind: "completion" }, tokens);
  }

  /** `first`: `ms` is what the prompt took; otherwise it is the time since the last text. */
  textCame({ model, first, ms }: { readonly model: string; readonly first: boolean; readonly ms: number }): void {
    this.#metrics[first ? "prefill" : "interToken"].observe({ model }, ms / 1000);
  }

  /** An engine's process ended by itself, or was ended because it got no further; it is started again. */
  engineDied(fields: { readonly model: string; readonly because: string }): void {
    this.#log.error(fields, "engine died");
    this.#metrics.restarts.inc({ model: fields.model });
  }

  /** A call came for it, or it was started again. */
  modelLoaded(fields: { readonly model: string; readonly ms: number; readonly device: string }): void {
    this.#log.info(fields, "model loaded");
    this.#metrics.loading.observe({ model: fields.model }, fields.ms / 1000);
  }

  /** Its memory was needed for another one. */
  modelUnloaded(fields: { readonly model: string }): void {
    this.#log.info(fields, "model unloaded");
  }

  /** Calls are refused until a later try succeeds. */
  modelNotLoaded(fields: { readonly model: string; readonly because: string }): void {
    this.#log.error(fields, "model not loaded");
  }

  /** From now on the engine is asked whenever somebody reads the metrics. */
  watchEngine(model: string, read: () => EngineState): void {
    this.#metrics.watchEngine(model, read);
  }

  /** In Prometheus' text format. */
  async metrics(): Promise<string> {
    return await this.#metrics.text();
  }

  /** A fault of ours, with its cause; or a bug, whole. */
  failed(fields: { readonly id?: string; readonly error: unknown }): void {
    const { error, ...rest } = fields;
    this.#log.error({ ...rest, error: describe(error) }, "failed");
  }

  policyRead(fields: { readonly policy: string; readonly sha256: string }): void {
    this.#log.info(fields, "policy reloaded");
  }

  /** The policy at work stays. */
  policyRefused(fields: { readonly message: string }): void {
    this.#log.error(fields, "policy refused");
  }

  tlsChanged(): void {
    this.#log.info("certificates reloaded");
  }

  /** `revoked`: certificates on the list. `ended`: connections closed now. */
  revocationsChanged(fields: { readonly revoked: number; readonly ended: number }): void {
    this.#log.info(fields, "revocations reloaded");
  }

  tlsRefused(fields: { readonly code: string }): void {
    this.#log.debug(fields, "tls refused");
  }
}

function describe(error: unknown): object {
  if (!(error instanceof Error)) return { message: typeof error };
  return {
    message: error.message,
    stack: error.stack?.split("\n").slice(1, 12),
    ...(error.cause === undefined ? {} : { cause: describe(error.cause) }),
  };
}
