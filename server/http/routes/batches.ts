import type { TLSSocket } from "node:tls";
import type { RequestHandler } from "express";
import { Fault } from "../../fault.ts";
import { batchListQuery, batchRequestSchema } from "../../wire/batch-request.ts";
import { checked } from "../../wire/checked.ts";
import type { Service } from "../app.ts";
import { callerOf } from "../caller.ts";
import { listOf } from "../list-of.ts";
import { queryOf } from "../query.ts";
import { idOf } from "./files.ts";

/** OpenAI's `POST /v1/batches`. */
export function createBatch({ batches }: Service): RequestHandler {
  return (request, response) => {
    const { metadata = null, endpoint, input_file_id } = checked(batchRequestSchema, request.body);
    const certificate = (request.socket as TLSSocket).getPeerX509Certificate(); // an https server has no other sockets
    if (certificate === undefined) throw new Fault("identity_refused");
    response.json(batches.create(callerOf(response).name, certificate.raw, { endpoint, input_file_id, metadata }));
  };
}

export function listBatches({ batches }: Service): RequestHandler {
  return (request, response) => {
    const query = queryOf(request, batchListQuery);
    response.json(listOf(batches.store.batches(callerOf(response).name, { ...query, limit: query.limit + 1 }), query.limit));
  };
}

export function oneBatch({ batches }: Service): RequestHandler {
  return (request, response) => {
    response.json(batches.store.job(callerOf(response).name, idOf(request)).batch);
  };
}

export function cancelBatch({ batches }: Service): RequestHandler {
  return (request, response) => {
    response.json(batches.cancel(callerOf(response).name, idOf(request)));
  };
}
