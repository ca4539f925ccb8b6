import type { RequestHandler } from "express";
import type { Service } from "../app.ts";

/** `GET /healthz`: the process answers. */
export const alive: RequestHandler = (_request, response) => {
  response.json({ status: "ok" });
};

/** `GET /readyz`: every model is loaded or can be when it is called, the classifiers passed their self-test and the audit log can be written; otherwise 503 and what is missing. Says what the start found when it tried to leave the host. */
export function ready({ engines, classifiers, audit, egress }: Service): RequestHandler {
  return (_request, response) => {
    const checks = [
      ...[...engines.values()].map((engine) => ({ name: `model ${engine.model.id}`, problem: engine.notReady })),
      { name: "classifiers", problem: classifiers.notReady },
      { name: "audit log", problem: audit.notWritable },
    ];
    const isReady = checks.every((check) => check.problem === undefined);
    response.status(isReady ? 200 : 503).json({
      status: isReady ? "ready" : "not_ready",
      checks: checks.map(({ name, problem }) => ({ name, ok: problem === undefined, ...(problem === undefined ? {} : { problem }) })),
      egress,
    });
  };
}
