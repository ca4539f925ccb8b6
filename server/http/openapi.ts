import { readFileSync } from "node:fs";
import { z } from "zod";
import { roles } from "../../certs/identity.ts";
import { anthropicErrorSchema, errorSchema } from "../wire/replies.ts";
import { anthropicPath } from "./error-body.ts";
import type { Operation } from "./operation.ts";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };

/** The operations as OpenAPI 3.1 describes them. */
export function openapiOf(operations: readonly Operation[]): object {
  const byPath = Object.entries(Object.groupBy(operations, ({ path }) => path));
  return {
    openapi: "3.1.1",
    info: {
      title: "Sallyport",
      version,
      description:
        "Who calls is who the client certificate names, in the role inside it. A parameter that is not honoured is refused by name.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    security: [{ certificate: [] }],
    paths: Object.fromEntries(
      byPath.map(([path, there = []]) => [path, Object.fromEntries(there.map((one) => [one.method.toLowerCase(), described(one)]))]),
    ),
    components: {
      securitySchemes: { certificate: { type: "mutualTLS", description: "A client certificate of this service's CA." } },
      schemas: { Error: schemaOf(errorSchema, "output"), AnthropicError: schemaOf(anthropicErrorSchema, "output") },
    },
  };
}

function described({ method, path, summary, roles: allowed = roles, body, form, query, reply, otherwise = {}, event }: Operation): object {
  const inPath = [...path.matchAll(/\{(\w+)\}/gu)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const inQuery = Object.entries(query?.shape ?? {}).map(([name, schema]) => ({ name, in: "query", schema: schemaOf(schema, "input") }));
  const parameters = [...inPath, ...inQuery];
  const error = path.startsWith(anthropicPath) ? "AnthropicError" : "Error";
  return {
    operationId: `${method.toLowerCase()}${path.replaceAll(/[^A-Za-z]+(\w?)/gu, (_, letter: string) => letter.toUpperCase())}`,
    summary,
    "x-roles": allowed,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: json(body, "input") } }),
    ...(form === undefined
      ? {}
      : { requestBody: { required: true, content: { "multipart/form-data": { schema: schemaOf(form, "input") } } } }),
    responses: {
      200: {
        description: summary,
        content: {
          ...(typeof reply === "string" ? { [plainTypes[reply]]: { schema: { type: "string" } } } : json(reply, "output")),
          ...(event === undefined ? {} : { "text/event-stream": { schema: schemaOf(event, "output") } }),
        },
      },
      ...Object.fromEntries(
        Object.entries(otherwise).map(([status, schema]) => [status, { description: summary, content: json(schema, "output") }]),
      ),
      default: { description: "Refused or failed", content: { "application/json": { schema: { $ref: `#/components/schemas/${error}` } } } },
    },
  };
}

const plainTypes = { text: "text/plain", file: "application/octet-stream" } as const;

function json(schema: z.ZodType, io: "input" | "output"): object {
  return { "application/json": { schema: schemaOf(schema, io) } };
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): object {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
}
