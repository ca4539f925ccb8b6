import { z } from "zod";
import { Fault } from "../fault.ts";
import { checked } from "../wire/checked.ts";
import { parseJson } from "../wire/parse-json.ts";

const lineSchema = z.strictObject({
  custom_id: z.string().min(1).max(512),
  method: z.literal("POST"),
  url: z.string().max(100),
  body: z.record(z.string(), z.unknown()),
});

/** One call of a batch. */
export interface BatchLine {
  readonly customId: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Throws a `Fault` that says what is wrong with it. */
export function readLine(text: Buffer, endpoint: string, depthMax: number): BatchLine {
  const { custom_id: customId, url, body } = checked(lineSchema, parseJson(text, depthMax));
  if (url !== endpoint) throw new Fault("invalid_value", "`url` is not the endpoint of the batch.", { param: "url" });
  if (body.stream === true) throw new Fault("invalid_value", "`body.stream`: a batch is not streamed.", { param: "body.stream" });
  return { customId, body };
}
