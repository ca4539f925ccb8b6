import { z } from "zod";

/** What batches may ask. */
export const batchEndpoints = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"] as const;

/** OpenAI's `POST /v1/batches`. */
export const batchRequestSchema = z.strictObject({
  input_file_id: z.string().min(1).max(100),
  endpoint: z.enum(batchEndpoints),
  completion_window: z.literal("24h"),
  metadata: z
    .record(z.string().max(64), z.string().max(512))
    .refine((one) => Object.keys(one).length <= 16, "has more than 16 pairs")
    .optional(),
});

/** The fields of OpenAI's `POST /v1/files` beside the file. */
export const fileFieldsSchema = z.strictObject({ purpose: z.literal("batch", "only files for batches are kept") });

/** The whole form. */
export const fileFormSchema = fileFieldsSchema.extend({ file: z.string().meta({ format: "binary" }).describe("JSON lines") });

const limit = z.coerce.number().int().min(1);

export const batchListQuery = z.strictObject({ after: z.string().max(100).optional(), limit: limit.max(1_000).default(20) });
export type BatchListQuery = z.infer<typeof batchListQuery>;

export const fileListQuery = z.strictObject({
  after: z.string().max(100).optional(),
  limit: limit.max(10_000).default(10_000),
  order: z.enum(["asc", "desc"]).default("desc"),
  purpose: z.enum(["batch", "batch_output"]).optional(),
});
export type FileListQuery = z.infer<typeof fileListQuery>;
