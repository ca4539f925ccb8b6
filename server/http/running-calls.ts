import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import type { Response } from "express";
import { Fault } from "../fault.ts";

/** The client closed the connection before the end. */
export class ClientGone extends DOMException {
  constructor() {
    super("The client closed the connection.", "AbortError");
  }
}

/** The calls being answered; each has one signal for everything that can end it early: client gone, deadline, shutdown. */
export class RunningCalls {
  readonly #timeoutMs: number;
  readonly #controllers = new Set<AbortController>();
  #closing = false;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  get count(): number {
    return this.#controllers.size;
  }

  async run<T>(response: Response, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#closing) throw new Fault("shutting_down");
    if (response.closed) throw new ClientGone();
    const controller = new AbortController();
    const { signal } = controller;
    // What ended it is in the line of the call, also when its response closes before anybody can say so.
    signal.addEventListener("abort", () => {
      response.locals.error = signal.reason;
    });
    const gone = (): void => controller.abort(new ClientGone());
    const deadline = setTimeout(() => controller.abort(new Fault("deadline_exceeded")), this.#timeoutMs);
    // Before whoever else listens, so that the log of the call says how it ended.
    response.prependOnceListener("close", gone);
    this.#controllers.add(controller);
    try {
      return await work(signal);
    } finally {
      clearTimeout(deadline);
      response.off("close", gone);
      this.#controllers.delete(controller);
    }
  }

  /** Takes no further call, ends those that run with `shutting_down`, and returns when none is left. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const controller of this.#controllers) controller.abort(new Fault("shutting_down"));
    while (this.count > 0) await pause(20);
  }
}

/** Writes without letting a slow reader fill the memory. Throws the signal's reason when aborted. */
export async function write(response: Response, text: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (response.write(text)) return;
  try {
    await once(response, "drain", { signal });
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  }
}
