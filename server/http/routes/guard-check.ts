import { randomUUID } from "node:crypto";
import type { RequestHandler } from "express";
import { z } from "zod";
import type { Call } from "../../pipeline/call.ts";
import { CallRecord, checkAllowed } from "../../pipeline/call-record.ts";
import { told } from "../../pipeline/finding.ts";
import { recorded } from "../../pipeline/reading.ts";
import { checked } from "../../wire/checked.ts";
import { checkCount, messageSchema, messagesOf } from "../../wire/messages.ts";
import type { Service } from "../app.ts";
import { callerOf } from "../caller.ts";

export const checkRequestSchema = z.strictObject({
  input: z.union([z.string(), z.array(messageSchema).min(1)]),
  /** What the text of `input` is: the user's own, or untrusted data. */
  origin: z.enum(["user", "document", "tool"]).default("user"),
});

/** `POST /v1/guard/check`: what the input gate says about texts and files, without generating. Recorded like any call. Shadow findings are told, and flag nothing. */
export function guardCheck(service: Service): RequestHandler {
  return async (request, response) => {
    const { input, origin } = checked(checkRequestSchema, request.body);
    const wire = typeof input === "string" ? [{ role: "user" as const, content: input }] : input;
    checkCount(wire, service.limits.messages_max, "input");
    const id = `check-${randomUUID()}`;
    const caller = callerOf(response);
    const { gates, recordContext } = service.policies.for(caller.name);
    const { messages, asked } = await service.running.run(response, async (signal) => {
      checkAllowed(service.audit, recordContext, caller.name);
      const messages = await messagesOf(wire, [], caller.name, { userOrigin: origin, param: "input", signal });
      const call: Call = { id, caller, endpoint: "guard.check", messages, stops: [] };
      response.locals.callId = id;
      const record = new CallRecord(service.audit, recordContext);
      return { messages, asked: await recorded({ call, gates, record, signal }, async (asked) => ({ result: asked, tokens: 0 })) };
    });
    response.json({
      id,
      object: "guard.check",
      flagged: asked.findings.some(({ action }) => action !== "shadow"),
      blocked: asked.action === "block",
      code: asked.action === "block" ? asked.code : null,
      unread: messages.flatMap(({ index: message, unread = [] }) => unread.map((part) => ({ message, part }))),
      ...told(asked.findings),
    });
  };
}
