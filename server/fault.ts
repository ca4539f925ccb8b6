/** Every fault a client can meet: its HTTP status, the type OpenAI's clients know, and the sentence used when nothing more exact is said. */
export const faults = {
  invalid_json: [400, "invalid_request_error", "The body is not valid JSON."],
  invalid_value: [400, "invalid_request_error", "A parameter has a value that is not allowed."],
  unknown_parameter: [400, "invalid_request_error", "A parameter is not known."],
  unsupported_parameter: [400, "invalid_request_error", "A parameter is not supported and would be ignored."],
  missing_parameter: [400, "invalid_request_error", "A parameter is missing."],
  schema_unsupported: [400, "invalid_request_error", "The schema asks for what the engine can't promise. Simplify it."],
  logit_bias_unsupported: [400, "invalid_request_error", "A token of `logit_bias` can't have a bias in this model."],
  confirmation_refused: [
    400,
    "invalid_request_error",
    "A confirmation is not of this conversation, is too old, or its call would have other arguments now. Ask once more without it.",
  ],
  context_length_exceeded: [400, "invalid_request_error", "The messages and the answer do not fit into the model's context."],
  identity_refused: [403, "permission_error", "This certificate names no role of this service, or is not valid any more."],
  role_not_allowed: [403, "permission_error", "The role of this certificate may not do this."],
  model_not_allowed: [403, "permission_error", "The policy of this caller does not allow this model."],
  not_found: [404, "invalid_request_error", "There is nothing at this path. docs/api.md lists the paths there are."],
  model_not_found: [404, "invalid_request_error", "There is no such model. GET /v1/models lists those there are."],
  file_not_found: [404, "invalid_request_error", "There is no such file. GET /v1/files lists those there are."],
  batch_not_found: [404, "invalid_request_error", "There is no such batch. GET /v1/batches lists those there are."],
  method_not_allowed: [405, "invalid_request_error", "This path does not answer that method."],
  body_too_large: [413, "invalid_request_error", "The body is larger than this service accepts."],
  unsupported_media_type: [415, "invalid_request_error", "Send JSON: Content-Type: application/json, UTF-8, not compressed."],
  queue_full: [429, "rate_limit_error", "All places are taken and the queue is full. Try again shortly."],
  quota_exceeded: [429, "rate_limit_error", "The quota of this caller is used up."],
  internal_error: [500, "server_error", "The service failed. The operator's log names this call."],
  engine_died: [503, "server_error", "The engine stopped while it answered. Send the call once more."],
  gave_way: [503, "server_error", "The place in the engine was given to a call that waited for it."],
  engine_unavailable: [503, "server_error", "The model is not available now. The operator's log says why."],
  audit_unavailable: [503, "server_error", "The audit log can't be written, so nothing is answered. The operator's log says why."],
  guards_busy: [503, "server_error", "More texts wait to be judged than this service lets wait. Try again shortly."],
  guard_failed: [503, "server_error", "A guard failed, so nothing is passed. The operator's log says why."],
  shutting_down: [503, "server_error", "The service is shutting down."],
  deadline_exceeded: [504, "server_error", "The answer took longer than this service allows."],
} as const satisfies Record<string, readonly [status: number, type: string, sentence: string]>;

export type FaultCode = keyof typeof faults;

/** A call can't be answered, for a reason its sender may know. */
export class Fault extends Error {
  readonly code: FaultCode;
  readonly param: string | undefined;
  /** Response headers that belong to it. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: FaultCode,
    message?: string,
    { param, headers = {}, cause }: { param?: string; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(message ?? faults[code][2], { cause });
    this.code = code;
    this.param = param;
    this.headers = headers;
  }
}
