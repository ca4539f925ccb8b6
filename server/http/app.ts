import { randomUUID } from "node:crypto";
import type { TLSSocket } from "node:tls";
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from "express";
import helmet from "helmet";
import type { Identity } from "../../certs/identity.ts";
import type { Classifiers } from "../../classifiers/classifier.ts";
import type { Engine } from "../../models/engine.ts";
import type { AuditLog } from "../audit/audit-log.ts";
import type { Batches } from "../batches/batches.ts";
import type { Config } from "../config.ts";
import type { Egress } from "../egress.ts";
import type { Events } from "../events.ts";
import { Fault } from "../fault.ts";
import type { Policies } from "../policy/policies.ts";
import { allow, identify } from "./caller.ts";
import { anthropicError, anthropicPath, replyTo } from "./error-body.ts";
import { jsonBody } from "./json-body.ts";
import type { Operation } from "./operation.ts";
import { operationsOf } from "./operations.ts";
import { ClientGone, type RunningCalls } from "./running-calls.ts";

/** What the routes need; made once by `startAppliance`. */
export interface Service {
  readonly limits: Config["limits"];
  /** By model id; the first is the default. */
  readonly engines: ReadonlyMap<string, Engine>;
  readonly classifiers: Classifiers;
  readonly egress: Egress;
  readonly policies: Policies;
  readonly audit: AuditLog;
  readonly batches: Batches;
  readonly running: RunningCalls;
  /** Whoever asks has time: what it takes says nothing about the service. */
  readonly isBackground: boolean;
  readonly events: Events;
  readonly startedAt: number;
  readonly identityOf: (socket: TLSSocket) => Identity;
}

export function createApp(service: Service): Express {
  const app = express();
  app.disable("x-powered-by").disable("etag").set("query parser", false).enable("case sensitive routing");
  app.use(helmet(), observe(service.events), identify(service.identityOf));
  const readBody = jsonBody({ bytesMax: service.limits.body_bytes_max, depthMax: service.limits.json_depth_max });
  const byPath = Object.entries(Object.groupBy(operationsOf(service), ({ path }) => path));
  for (const [path, operations = []] of byPath) mount(app, path, operations, readBody);

  app.use(() => {
    throw new Fault("not_found");
  });
  app.use(respondWithError);
  return app;
}

function mount(app: Express, path: string, operations: readonly Operation[], readBody: readonly RequestHandler[]): void {
  const route = app.route(path.replaceAll(/\{(\w+)\}/gu, ":$1"));
  for (const { method, roles, body, handle } of operations) {
    const handlers = [...(roles === undefined ? [] : [allow(...roles)]), ...(body === undefined ? [] : readBody), handle];
    if (method === "GET") route.get(...handlers);
    else if (method === "DELETE") route.delete(...handlers);
    else route.post(...handlers);
  }
  const allowed = operations.map(({ method }) => (method === "GET" ? "GET, HEAD" : method)).join(", ");
  route.all(() => {
    throw new Fault("method_not_allowed", undefined, { headers: { Allow: allowed } });
  });
}

/** One line a call, when its response is over. */
function observe(events: Events): RequestHandler {
  return (request, response, next) => {
    const startedMs = performance.now();
    const requestId = `req-${randomUUID()}`;
    response.setHeader("x-request-id", requestId);
    if (request.path.startsWith(anthropicPath)) response.setHeader("request-id", requestId);
    response.once("close", () => {
      const { caller, callId, error } = response.locals;
      const code = error === undefined ? undefined : error instanceof ClientGone ? "client_gone" : replyTo(error).body.error.code;
      events.callEnded({
        id: requestId,
        ...(callId === undefined ? {} : { call: callId }),
        caller: caller?.name ?? "",
        path: request.route?.path ?? "",
        status: response.statusCode,
        ...(code === undefined ? {} : { code }),
        ms: Math.round(performance.now() - startedMs),
      });
      if (error !== undefined) logFailure(events, requestId, error);
    });
    next();
  };
}

/** Failures of ours are logged with their cause; what a caller did wrong, or a stop ended, is in the line of its call already. */
function logFailure(events: Events, id: string, error: unknown): void {
  if (error instanceof ClientGone || (error instanceof Fault && error.cause === undefined)) return;
  const { status, bug } = replyTo(error);
  if (bug || status >= 500) events.failed({ id, error });
}

const respondWithError: ErrorRequestHandler = (error: unknown, request, response, _next) => {
  response.locals.error = error;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const reply = replyTo(error);
  response
    .status(reply.status)
    .set(reply.headers)
    .json(request.path.startsWith(anthropicPath) ? anthropicError(reply, response.get("request-id")) : reply.body);
};
