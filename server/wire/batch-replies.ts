import { z } from "zod";
import { faults } from "../fault.ts";

const time = z.int().describe("Unix seconds");

/** A file as its owner sees it. */
export const fileSchema = z.object({
  id: z.string(),
  object: z.literal("file"),
  bytes: z.int(),
  created_at: time,
  expires_at: time,
  filename: z.string(),
  purpose: z.enum(["batch", "batch_output"]),
  status: z.literal("processed"),
});

export type StoredFile = Readonly<z.infer<typeof fileSchema>>;

export const fileDeletedSchema = z.object({ id: z.string(), object: z.literal("file"), deleted: z.literal(true) });

const batchErrorSchema = z.object({
  code: z.enum(Object.keys(faults)),
  message: z.string(),
  param: z.string().nullable(),
  line: z.int().nullable().describe("From one"),
});

export type BatchError = z.infer<typeof batchErrorSchema>;

/** A batch as its owner sees it. */
export const batchSchema = z.object({
  id: z.string(),
  object: z.literal("batch"),
  endpoint: z.string(),
  errors: z.object({ object: z.literal("list"), data: z.array(batchErrorSchema) }).nullable(),
  input_file_id: z.string(),
  completion_window: z.literal("24h"),
  status: z.enum(["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]),
  output_file_id: z.string().nullable(),
  error_file_id: z.string().nullable(),
  created_at: time,
  in_progress_at: time.nullable(),
  expires_at: time,
  finalizing_at: time.nullable(),
  completed_at: time.nullable(),
  failed_at: time.nullable(),
  expired_at: time.nullable(),
  cancelling_at: time.nullable(),
  cancelled_at: time.nullable(),
  request_counts: z.object({ total: z.int(), completed: z.int(), failed: z.int() }),
  metadata: z.record(z.string(), z.string()).nullable(),
});

export type Batch = Readonly<z.infer<typeof batchSchema>>;

const listOf = <One extends z.ZodType>(one: One) =>
  z.object({
    object: z.literal("list"),
    data: z.array(one),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  });

export const fileListSchema = listOf(fileSchema);
export const batchListSchema = listOf(batchSchema);
