import type { TLSSocket } from "node:tls";
import type { NextFunction, Request, RequestHandler, Response } from "express";
import type { Identity, Role } from "../../certs/identity.ts";
import { Fault } from "../fault.ts";
import type { Caller } from "../pipeline/call.ts";

/** Who calls, from the certificate alone: no header is believed. Checked on every request, since a connection outlives what was true when it began. */
export function identify(identityOf: (socket: TLSSocket) => Identity): RequestHandler {
  return (request: Request, response: Response, next: NextFunction) => {
    response.locals.caller = callerBy(identityOf, request.socket as TLSSocket); // an https server has no other sockets
    next();
  };
}

/** The caller that `identify` put there. */
export function callerOf(response: Response): Caller {
  return response.locals.caller as Caller; // set by `identify`, before every route
}

export function allow(...roles: readonly Role[]): RequestHandler {
  return (_request, response, next) => {
    const { role: own } = callerOf(response);
    if (!roles.some((role) => role === own))
      throw new Fault("role_not_allowed", `The role of this certificate is ${own}, and this is for ${roles.join(" and ")}.`);
    next();
  };
}

function callerBy(identityOf: (socket: TLSSocket) => Identity, socket: TLSSocket): Caller {
  try {
    return identityOf(socket);
  } catch (cause) {
    throw new Fault("identity_refused", undefined, { cause });
  }
}
