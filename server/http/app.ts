import { randomUUID } from "node:crypto";
import type { TLSSocket } from "node:tls";
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from "express";
import helmet from "helmet";
import { type Identity, type Role, roles } from "../../certs/identity.ts";
import type { Classifiers } from "../../classifiers/classifier.ts";
import type { Engine } from "../../models/engine.ts";
import type { AuditLog } from "../audit/audit-log.ts";
import type { Config } from "../config.ts";
import type { Events } from "../events.ts";
import { Fault } from "../fault.ts";
import type { Policies } from "../policy/policies.ts";
import { allow, identify } from "./caller.ts";
import { replyTo } from "./error-body.ts";
import { jsonBody } from "./json-body.ts";
import { chatCompletions } from "./routes/chat-completions.ts";
import { guardCheck } from "./routes/guard-check.ts";
import { alive, ready } from "./routes/health.ts";
import { listModels, oneModel } from "./routes/models.ts";
import { moderations } from "./routes/moderations.ts";
import { ClientGone, type RunningCalls } from "./running-calls.ts";

/** What the routes need; made once by `startAppliance`. */
export interface Service {
  readonly limits: Config["limits"];
  /** By model id; the first is the default. */
  readonly engines: ReadonlyMap<string, Engine>;
  readonly classifiers: Classifiers;
  /** Why they can't be relied on. */
  readonly classifiersNotReady: string | undefined;
  readonly policies: Policies;
  readonly audit: AuditLog;
  readonly running: RunningCalls;
  readonly events: Events;
  readonly startedAt: number;
  readonly identityOf: (socket: TLSSocket) => Identity;
}

export function createApp(service: Service): Express {
  const app = express();
  app.disable("x-powered-by").disable("etag").set("query parser", false).enable("case sensitive routing");
  app.use(helmet(), observe(service.events), identify(service.identityOf));
  const body = jsonBody({ bytesMax: service.limits.body_bytes_max, depthMax: service.limits.json_depth_max });

  route(app, "/healthz", { GET: [alive] });
  route(app, "/readyz", { GET: [ready(service)] });
  route(app, "/v1/models", { GET: [allow("app", "operator"), listModels(service)] });
  route(app, "/v1/models/:id", { GET: [allow("app", "operator"), oneModel(service)] });
  route(app, "/v1/chat/completions", { POST: [allow("app", "operator"), ...body, chatCompletions(service)] });
  route(app, "/v1/moderations", { POST: [allow("app", "operator"), ...body, moderations(service)] });
  route(app, "/v1/guard/check", { POST: [allow("app", "operator"), ...body, guardCheck(service)] });

  app.use(() => {
    throw new Fault("not_found");
  });
  app.use(respondWithError);
  return app;
}

/** An endpoint, and which roles it answers. */
export interface Endpoint {
  readonly method: string;
  readonly path: string;
  readonly roles: readonly Role[];
}

/** Every endpoint of an app, in the order of their registration. */
export function endpointsOf(app: Express): readonly Endpoint[] {
  return app.locals.endpoints as Endpoint[]; // kept by `route`
}

function route(app: Express, path: string, methods: { GET?: RequestHandler[]; POST?: RequestHandler[] }): void {
  for (const [method, handlers] of Object.entries(methods)) {
    const allowed = handlers.map((one) => (one as { roles?: readonly Role[] }).roles).find((one) => one !== undefined); // `allow` puts it there
    app.locals.endpoints = [...(app.locals.endpoints ?? []), { method, path, roles: allowed ?? roles }];
  }
  if (methods.GET) app.get(path, ...methods.GET);
  if (methods.POST) app.post(path, ...methods.POST);
  const allowed = [...(methods.GET ? ["GET", "HEAD"] : []), ...(methods.POST ? ["POST"] : [])].join(", ");
  app.all(path, () => {
    throw new Fault("method_not_allowed", undefined, { headers: { Allow: allowed } });
  });
}

/** One line a call, when its response is over. */
function observe(events: Events): RequestHandler {
  return (request, response, next) => {
    const startedMs = performance.now();
    const requestId = `req-${randomUUID()}`;
    response.setHeader("x-request-id", requestId);
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

const respondWithError: ErrorRequestHandler = (error: unknown, _request, response, _next) => {
  response.locals.error = error;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status, headers, body } = replyTo(error);
  response.status(status).set(headers).json(body);
};
