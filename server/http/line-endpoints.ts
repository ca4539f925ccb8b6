import { randomUUID } from "node:crypto";
import { EventEmitter } from "node:events";
import type { Request, Response } from "express";
import { BackgroundEngine } from "../batches/background-engine.ts";
import type { LineEndpoint, LineEndpoints, LineReply } from "../batches/batch-steps.ts";
import type { Events } from "../events.ts";
import { Fault, type FaultCode } from "../fault.ts";
import type { Caller } from "../pipeline/call.ts";
import { batchEndpoints } from "../wire/batch-request.ts";
import { checked } from "../wire/checked.ts";
import type { Service } from "./app.ts";
import { replyTo } from "./error-body.ts";
import type { Operation } from "./operation.ts";
import { operationsOf } from "./operations.ts";
import { RunningCalls } from "./running-calls.ts";

/** A line may wait as long as its batch. */
const lineTimeoutMs = 86_400_000;

/** What passes by itself, so that a line waits for it. */
const passing: ReadonlySet<FaultCode> = new Set([
  "quota_exceeded",
  "queue_full",
  "gave_way",
  "engine_unavailable",
  "audit_unavailable",
  "guards_busy",
]);
/** What may be the line's own fault: it is asked a few times. */
const suspect: ReadonlySet<FaultCode> = new Set(["engine_died", "guard_failed"]);

/** What batches may ask: the same operations that a connection reaches, in the background. */
export function lineEndpoints(service: Service): LineEndpoints {
  const { engines, limits, events } = service;
  const inBackground = [...engines].map(([id, engine]) => [id, new BackgroundEngine(engine, limits.answer_timeout_ms)] as const);
  const running = new RunningCalls(lineTimeoutMs);
  const operations = operationsOf({ ...service, engines: new Map(inBackground), running, isBackground: true });
  const asked = operations.filter(({ path }) => batchEndpoints.some((one) => one === path));
  return new Map(asked.map((operation) => [operation.path, new OperationEndpoint(operation, events)]));
}

class OperationEndpoint implements LineEndpoint {
  readonly #operation: Operation;
  readonly #events: Events;

  constructor(operation: Operation, events: Events) {
    this.#operation = operation;
    this.#events = events;
  }

  check(body: unknown): void {
    if (this.#operation.body !== undefined) checked(this.#operation.body, body);
  }

  async ask(body: unknown, caller: Caller, signal: AbortSignal): Promise<LineReply | undefined> {
    const requestId = `req-${randomUUID()}`;
    const response = new LineResponse(caller);
    const close = (): void => response.close();
    signal.addEventListener("abort", close, { once: true });
    try {
      const { roles, handle } = this.#operation;
      if (roles?.some((one) => one === caller.role) === false) throw new Fault("role_not_allowed");
      // A handler of JSON asks nothing more of the two.
      await handle({ body } as Request, response as unknown as Response, () => {});
      return signal.aborted ? undefined : { requestId, status: 200, body: response.body };
    } catch (error) {
      return signal.aborted ? undefined : this.#failed(requestId, error);
    } finally {
      signal.removeEventListener("abort", close);
    }
  }

  #failed(requestId: string, error: unknown): LineReply {
    const { status, body, headers, bug } = replyTo(error);
    if (bug) this.#events.failed({ id: requestId, error });
    const code = body.error.code as FaultCode; // of a refusal it is none of these sets
    const afterMs = code === "gave_way" ? 50 : Math.min(Number(headers["Retry-After"] ?? 1), 60) * 1_000;
    const neverFits = code === "quota_exceeded" && headers["Retry-After"] === undefined;
    const timesMax = passing.has(code) && !neverFits ? Number.POSITIVE_INFINITY : suspect.has(code) ? 2 : 0;
    return { requestId, status, body, again: { afterMs, timesMax } };
  }
}

/** Takes what a handler answers. It closes when its line shall end. */
class LineResponse extends EventEmitter {
  readonly locals: { readonly caller: Caller };
  body: object = {};
  closed = false;

  constructor(caller: Caller) {
    super();
    this.locals = { caller };
  }

  json(body: object): void {
    this.body = body;
  }

  close(): void {
    this.closed = true;
    this.emit("close");
  }
}
