import type { TLSSocket } from "node:tls";
import type { NextFunction, Request, RequestHandler, Response } from "express";
import { identityOf, type Role } from "../../certs/identity.ts";
import { Fault } from "../fault.ts";
import type { Caller } from "../pipeline/call.ts";

/** Who calls, from the certificate alone: no header is believed. Checked on every request, since a connection outlives what was true when it began. */
export function identify(isRevoked: (serial: string) => boolean): RequestHandler {
  return (request: Request, response: Response, next: NextFunction) => {
    const { name, role, serial, notAfter } = identity(request.socket as TLSSocket); // an https server has no other sockets
    if (isRevoked(serial) || notAfter.getTime() < Date.now()) throw new Fault("identity_refused");
    response.locals.caller = { name, role, serial } satisfies Caller;
    next();
  };
}

/** The caller that `identify` put there. */
export function callerOf(response: Response): Caller {
  return response.locals.caller as Caller; // set by `identify`, before every route
}

export function allow(...roles: readonly Role[]): RequestHandler {
  return (_request, response, next) => {
    if (!roles.some((role) => role === callerOf(response).role)) throw new Fault("role_not_allowed");
    next();
  };
}

function identity(socket: TLSSocket): ReturnType<typeof identityOf> {
  try {
    return identityOf(socket.getPeerCertificate());
  } catch (cause) {
    throw new Fault("identity_refused", undefined, { cause });
  }
}
