import express, { type NextFunction, type Request, type RequestHandler, type Response } from "express";
import { Fault } from "../fault.ts";

/** Reads a JSON body within its bounds: bytes, strict UTF-8, depth. A parser's own messages quote the text, so none of them gets out. */
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
      request.body = parse(request.body, depthMax);
      next();
    },
  ];
}

function parse(body: Buffer, depthMax: number): unknown {
  if (depthOf(body) > depthMax) throw new Fault("invalid_json", `The body is nested deeper than ${depthMax} levels.`);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new Fault("invalid_json");
  }
}

/** Deepest nesting of `{` and `[` outside of strings. UTF-8 never has these bytes inside another character. */
function depthOf(body: Buffer): number {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at];
    if (quoted) {
      if (byte === 0x5c) at += 1;
      else if (byte === 0x22) quoted = false;
    } else if (byte === 0x22) quoted = true;
    else if (byte === 0x7b || byte === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (byte === 0x7d || byte === 0x5d) depth -= 1;
  }
  return deepest;
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
