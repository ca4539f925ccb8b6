import type { Request } from "express";
import type { z } from "zod";
import { Fault } from "../fault.ts";
import { checked } from "../wire/checked.ts";

/** What stands behind the question mark. Throws a `Fault` that names what is not known, given twice, or wrong. */
export function queryOf<Shape extends z.ZodType>(request: Request, schema: Shape): z.infer<Shape> {
  const pairs = [...new URL(request.url, "https://localhost").searchParams];
  const given = Object.fromEntries(pairs);
  if (Object.keys(given).length < pairs.length) throw new Fault("invalid_value", "A parameter stands twice behind the question mark.");
  return checked(schema, given);
}
