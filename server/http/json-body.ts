import express, { type NextFunction, type Request, type RequestHandler, type Response } from "express";
import { Fault } from "../fault.ts";
import { parseJson } from "../wire/parse-json.ts";

/** Reads a JSON body within its bounds: bytes, strict UTF-8, depth. */
export function jsonBody({ bytesMax, depthMax }: { bytesMax: number; depthMax: number }): RequestHandler[] {
  const read = express.raw({ type: "application/json", limit: bytesMax, inflate: false });
  return [
    (request, response, next) =>
      read(request, response, (error?: unknown) => next(error === undefined ? undefined : faultOf(error, bytesMax))),
    (request: Request, _response: Response, next: NextFunction) => {
      if (!Buffer.isBuffer(request.body)) {
        throw /^application\/json\s*(?:;|$)/iu.test(request.headers["content-type"] ?? "")
          ? new Fault("invalid_json", "The body is empty.")
          : new Fault("unsupported_media_type");
      }
      request.body = parseJson(request.body, depthMax);
      next();
    },
  ];
}

function faultOf(error: unknown, bytesMax: number): unknown {
  const { type } = error as { type?: string }; // body-parser's errors carry one
  if (type === "entity.too.large")
    return new Fault("body_too_large", `The body is larger than the ${bytesMax} bytes this service accepts.`);
  if (type === "encoding.unsupported" || type === "charset.unsupported") return new Fault("unsupported_media_type");
  if (type === "request.aborted" || type === "request.size.invalid")
    return new Fault("invalid_json", "The body ended before its announced length.");
  return error;
}
