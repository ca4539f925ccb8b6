import type { RequestHandler } from "express";
import type { Model } from "../../../models/engine.ts";
import type { Service } from "../app.ts";
import { engineFor } from "../engine-for.ts";

/** OpenAI's `GET /v1/models`. */
export function listModels(service: Service): RequestHandler {
  return (_request, response) => {
    response.json({ object: "list", data: [...service.engines.values()].map((engine) => wireModel(engine.model, service)) });
  };
}

/** OpenAI's `GET /v1/models/{id}`. */
export function oneModel(service: Service): RequestHandler {
  return (request, response) => {
    response.json(wireModel(engineFor(service, String(request.params.id)).model, service));
  };
}

function wireModel({ id, contextTokens, sha256, isLoaded = true }: Model, { startedAt }: Service): object {
  return {
    id,
    object: "model",
    created: Math.floor(startedAt / 1000),
    owned_by: "sallyport",
    context_length: contextTokens,
    sha256: sha256 ?? null,
    loaded: isLoaded,
  };
}
