import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Request, RequestHandler } from "express";
import type { Upload } from "../../batches/upload.ts";
import { fileFieldsSchema, fileListQuery } from "../../wire/batch-request.ts";
import { checked } from "../../wire/checked.ts";
import type { Service } from "../app.ts";
import { callerOf } from "../caller.ts";
import { readForm } from "../form.ts";
import { listOf } from "../list-of.ts";
import { queryOf } from "../query.ts";

/** OpenAI's `POST /v1/files`. Written as it comes, seen when it is whole. */
export function uploadFile(service: Service): RequestHandler {
  return async (request, response) => {
    const { batches } = service;
    const { name: owner } = callerOf(response);
    let upload: Upload | undefined;
    try {
      const fields = await readForm(request, {
        bytesMax: batches.limits.file_bytes_max,
        file: (name) => {
          const begun = batches.upload(owner, name);
          upload = begun;
          return (piece) => begun.take(piece);
        },
      });
      checked(fileFieldsSchema, fields);
      upload?.end();
    } catch (error) {
      if (upload !== undefined) batches.remove(upload.id);
      throw error;
    }
    response.json(batches.store.file(owner, upload?.id ?? ""));
  };
}

export function listFiles({ batches }: Service): RequestHandler {
  return (request, response) => {
    const query = queryOf(request, fileListQuery);
    response.json(listOf(batches.store.files(callerOf(response).name, { ...query, limit: query.limit + 1 }), query.limit));
  };
}

export function oneFile({ batches }: Service): RequestHandler {
  return (request, response) => {
    response.json(batches.store.file(callerOf(response).name, idOf(request)));
  };
}

export function fileContent({ batches, running }: Service): RequestHandler {
  return async (request, response) => {
    const { id } = batches.store.file(callerOf(response).name, idOf(request));
    response.type("application/octet-stream");
    await running.run(response, async (signal) => {
      try {
        await pipeline(Readable.from(batches.store.content(id)), response, { signal });
      } catch (error) {
        throw signal.aborted ? signal.reason : error;
      }
    });
  };
}

export function deleteFile({ batches }: Service): RequestHandler {
  return (request, response) => {
    const { id } = batches.store.file(callerOf(response).name, idOf(request));
    batches.remove(id);
    response.json({ id, object: "file", deleted: true });
  };
}

export function idOf(request: Request): string {
  return String(request.params.id);
}
