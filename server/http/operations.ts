import { z } from "zod";
import type { Role } from "../../certs/identity.ts";
import { anthropicCountSchema, anthropicRequestSchema } from "../wire/anthropic-request.ts";
import { batchListSchema, batchSchema, fileDeletedSchema, fileListSchema, fileSchema } from "../wire/batch-replies.ts";
import { batchListQuery, batchRequestSchema, fileFormSchema, fileListQuery } from "../wire/batch-request.ts";
import { chatRequestSchema } from "../wire/chat-request.ts";
import { completionRequestSchema } from "../wire/completion-request.ts";
import {
  aliveSchema,
  anthropicCountReplySchema,
  anthropicErrorSchema,
  anthropicEventSchema,
  anthropicReplySchema,
  chatChunkSchema,
  chatReplySchema,
  checkReplySchema,
  completionChunkSchema,
  completionReplySchema,
  embeddingReplySchema,
  errorSchema,
  modelListSchema,
  modelSchema,
  moderationReplySchema,
  readinessSchema,
  responsesCountReplySchema,
  responsesErrorEventSchema,
  responsesEventSchema,
  responsesReplySchema,
  tokenizeReplySchema,
} from "../wire/replies.ts";
import { responsesCountSchema, responsesRequestSchema } from "../wire/responses-request.ts";
import type { Service } from "./app.ts";
import { anthropicPath } from "./error-body.ts";
import { openapiOf } from "./openapi.ts";
import type { Operation } from "./operation.ts";
import { anthropicMessages } from "./routes/anthropic-messages.ts";
import { cancelBatch, createBatch, listBatches, oneBatch } from "./routes/batches.ts";
import { chatCompletions } from "./routes/chat-completions.ts";
import { completions } from "./routes/completions.ts";
import { embeddingRequestSchema, embeddings } from "./routes/embeddings.ts";
import { deleteFile, fileContent, listFiles, oneFile, uploadFile } from "./routes/files.ts";
import { checkRequestSchema, guardCheck } from "./routes/guard-check.ts";
import { alive, ready } from "./routes/health.ts";
import { listModels, oneModel } from "./routes/models.ts";
import { moderationRequestSchema, moderations } from "./routes/moderations.ts";
import { responses } from "./routes/responses.ts";
import { countForMessages, countForResponses, tokenize, tokenizeRequestSchema } from "./routes/tokens.ts";

const callers: readonly Role[] = ["app", "operator"];

/** Everything this service answers. What is not here is `not_found`. */
export function operationsOf(service: Service): readonly Operation[] {
  const operations: readonly Operation[] = [
    {
      method: "GET",
      path: "/v1/models",
      summary: "The configured models, the default first",
      roles: callers,
      reply: modelListSchema,
      handle: listModels(service),
    },
    { method: "GET", path: "/v1/models/{id}", summary: "One model", roles: callers, reply: modelSchema, handle: oneModel(service) },
    {
      method: "POST",
      path: "/v1/chat/completions",
      summary: "An answer to a conversation, whole or streamed",
      roles: callers,
      body: chatRequestSchema,
      reply: chatReplySchema,
      event: z.union([chatChunkSchema, errorSchema]),
      handle: chatCompletions(service),
    },
    {
      method: "POST",
      path: "/v1/completions",
      summary: "A text goes on, whole or streamed",
      roles: callers,
      body: completionRequestSchema,
      reply: completionReplySchema,
      event: z.union([completionChunkSchema, errorSchema]),
      handle: completions(service),
    },
    {
      method: "POST",
      path: "/v1/embeddings",
      summary: "Texts as vectors",
      roles: callers,
      body: embeddingRequestSchema,
      reply: embeddingReplySchema,
      handle: embeddings(service),
    },
    {
      method: "POST",
      path: "/v1/responses",
      summary: "An answer in the shape of OpenAI's Responses, whole or streamed; nothing is stored",
      roles: callers,
      body: responsesRequestSchema,
      reply: responsesReplySchema,
      event: z.union([responsesErrorEventSchema, responsesEventSchema]),
      handle: responses(service),
    },
    {
      method: "POST",
      path: anthropicPath,
      summary: "An answer in the shape of Anthropic's Messages, whole or streamed",
      roles: callers,
      body: anthropicRequestSchema,
      reply: anthropicReplySchema,
      event: z.union([anthropicErrorSchema, anthropicEventSchema]),
      handle: anthropicMessages(service),
    },
    {
      method: "POST",
      path: `${anthropicPath}/count_tokens`,
      summary: "How many tokens the model would read of a request for `/v1/messages`",
      roles: callers,
      body: anthropicCountSchema,
      reply: anthropicCountReplySchema,
      handle: countForMessages(service),
    },
    {
      method: "POST",
      path: "/v1/responses/input_tokens",
      summary: "How many tokens the model would read of a request for `/v1/responses`",
      roles: callers,
      body: responsesCountSchema,
      reply: responsesCountReplySchema,
      handle: countForResponses(service),
    },
    {
      method: "POST",
      path: "/v1/tokenize",
      summary: "A text in numbers of the model's vocabulary",
      roles: callers,
      body: tokenizeRequestSchema,
      reply: tokenizeReplySchema,
      handle: tokenize(service),
    },
    {
      method: "POST",
      path: "/v1/moderations",
      summary: "Delicate text, in OpenAI's shape",
      roles: callers,
      body: moderationRequestSchema,
      reply: moderationReplySchema,
      handle: moderations(service),
    },
    {
      method: "POST",
      path: "/v1/guard/check",
      summary: "What the input gate finds, without generating",
      roles: callers,
      body: checkRequestSchema,
      reply: checkReplySchema,
      handle: guardCheck(service),
    },
    {
      method: "POST",
      path: "/v1/files",
      summary: "Keeps a file of calls (JSON lines), encrypted, for whoever sends it alone",
      roles: callers,
      form: fileFormSchema,
      reply: fileSchema,
      handle: uploadFile(service),
    },
    {
      method: "GET",
      path: "/v1/files",
      summary: "The caller's files",
      roles: callers,
      query: fileListQuery,
      reply: fileListSchema,
      handle: listFiles(service),
    },
    {
      method: "GET",
      path: "/v1/files/{id}",
      summary: "One file of the caller",
      roles: callers,
      reply: fileSchema,
      handle: oneFile(service),
    },
    {
      method: "DELETE",
      path: "/v1/files/{id}",
      summary: "Deletes a file of the caller",
      roles: callers,
      reply: fileDeletedSchema,
      handle: deleteFile(service),
    },
    {
      method: "GET",
      path: "/v1/files/{id}/content",
      summary: "What is in a file of the caller",
      roles: callers,
      reply: "file",
      handle: fileContent(service),
    },
    {
      method: "POST",
      path: "/v1/batches",
      summary: "Asks every line of a file, in the background",
      roles: callers,
      body: batchRequestSchema,
      reply: batchSchema,
      handle: createBatch(service),
    },
    {
      method: "GET",
      path: "/v1/batches",
      summary: "The caller's batches, newest first",
      roles: callers,
      query: batchListQuery,
      reply: batchListSchema,
      handle: listBatches(service),
    },
    {
      method: "GET",
      path: "/v1/batches/{id}",
      summary: "One batch of the caller",
      roles: callers,
      reply: batchSchema,
      handle: oneBatch(service),
    },
    {
      method: "POST",
      path: "/v1/batches/{id}/cancel",
      summary: "Ends a batch of the caller; what was answered becomes a file",
      roles: callers,
      reply: batchSchema,
      handle: cancelBatch(service),
    },
    { method: "GET", path: "/healthz", summary: "The process answers", reply: aliveSchema, handle: alive },
    {
      method: "GET",
      path: "/readyz",
      summary: "200 when calls can be answered, if need be after their model is loaded; otherwise 503, and `checks` says what is missing",
      reply: readinessSchema,
      otherwise: { 503: readinessSchema },
      handle: ready(service),
    },
    {
      method: "GET",
      path: "/metrics",
      summary: "Counts and times, in Prometheus' text format",
      roles: ["operator", "auditor"],
      reply: "text",
      handle: async (_request, response) => {
        response.type("text/plain; version=0.0.4; charset=utf-8").send(await service.events.metrics());
      },
    },
    {
      method: "GET",
      path: "/openapi.json",
      summary: "This description",
      reply: z.looseObject({ openapi: z.string() }),
      handle: (_request, response) => {
        response.json(document);
      },
    },
  ];
  const document = openapiOf(operations);
  return operations;
}
