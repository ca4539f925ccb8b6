import { EngineFault } from "../../models/engine.ts";
import { Fault, type FaultCode, faults } from "../fault.ts";
import { told } from "../pipeline/finding.ts";
import { Refusal } from "../pipeline/refusal.ts";

/** An error as a client gets it, in OpenAI's shape. */
export interface ErrorReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: {
    readonly error: { readonly message: string; readonly type: string; readonly param: string | null; readonly code: string };
  };
}

/** From here on errors have Anthropic's shape. */
export const anthropicPath = "/v1/messages";

const anthropicTypes: Readonly<Record<number, string>> = {
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  500: "api_error",
  503: "overloaded_error",
  504: "timeout_error",
};

/** By this the vendor's SDK knows that a conversation is sent whole, and does so. */
const unthreaded = { details: { error_code: "thread_unsupported_request", unsupported: ["thread"] } };

/** The same in Anthropic's shape. */
export function anthropicError({ status, body: { error } }: Pick<ErrorReply, "status" | "body">, requestId: string | undefined): object {
  const type = anthropicTypes[status] ?? "invalid_request_error";
  return { type: "error", error: { ...error, type, ...(error.param === "thread" ? unthreaded : {}) }, request_id: requestId ?? null };
}

/** For so long an application may be kept waiting by its SDK. */
const retryAfterMaxS = 60;

/** `bug`: it is none of the errors that a caller may know, and must be logged whole. */
export function replyTo(error: unknown): ErrorReply & { readonly bug: boolean } {
  if (error instanceof Refusal) {
    const body = { error: { message: error.message, type: "guard_refusal", param: null, code: error.code, ...told(error.findings) } };
    return { status: 400, headers: {}, body, bug: false };
  }
  if (error instanceof Fault) return fault(error.code, error.message, error.param, error.headers);
  // What an engine says about its file is the operator's business.
  if (error instanceof EngineFault && error.code === "engine_unavailable")
    return { ...fault(error.code, faults[error.code][2]), bug: true };
  if (error instanceof EngineFault) {
    const { queue } = error;
    const headers = queue && { "Retry-After": String(Math.ceil(queue.retryAfterMs / 1000)), "X-Queue-Position": String(queue.position) };
    return fault(error.code, error.message, undefined, headers);
  }
  if (isRefusedByExpress(error)) return fault("not_found", faults.not_found[2]);
  return { ...fault("internal_error", faults.internal_error[2]), bug: true };
}

/** A path that can't be decoded. Express quotes it, so nothing of the error gets out. */
function isRefusedByExpress(error: unknown): boolean {
  return error instanceof URIError;
}

function fault(
  code: FaultCode,
  message: string,
  param?: string,
  headers: Readonly<Record<string, string>> = {},
): ErrorReply & { bug: boolean } {
  const [status, type] = faults[code];
  const told = { ...(status === 503 ? { "Retry-After": "5" } : {}), ...headers };
  const never = endsRetries(status, told) ? { "X-Should-Retry": "false" } : {};
  return { status, headers: { ...told, ...never }, body: { error: { message, type, param: param ?? null, code } }, bug: false };
}

/** SDKs sleep for as long as `Retry-After` says, be it until midnight, and ask again after a deadline, for a whole answer each time. They obey this header. */
function endsRetries(status: number, { "Retry-After": afterS }: Readonly<Record<string, string>>): boolean {
  return status === 504 || (status === 429 && afterS === undefined) || Number(afterS ?? 0) > retryAfterMaxS;
}
