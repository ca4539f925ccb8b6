import { randomUUID } from "node:crypto";

/** A file as its owner sees it. Times are Unix seconds. */
export interface StoredFile {
  readonly id: string;
  readonly object: "file";
  readonly bytes: number;
  readonly created_at: number;
  readonly expires_at: number;
  readonly filename: string;
  readonly purpose: "batch" | "batch_output";
  readonly status: "processed";
}

export type BatchStatus = "validating" | "failed" | "in_progress" | "finalizing" | "completed" | "expired" | "cancelling" | "cancelled";

/** Those in which a batch stays. */
export type Ended = Extract<BatchStatus, "failed" | "completed" | "expired" | "cancelled">;

export interface BatchError {
  readonly code: string;
  readonly message: string;
  readonly param: string | null;
  /** From one. */
  readonly line: number | null;
}

/** A batch as its owner sees it. Times are Unix seconds. */
export interface Batch {
  readonly id: string;
  readonly object: "batch";
  readonly endpoint: string;
  readonly errors: { readonly object: "list"; readonly data: readonly BatchError[] } | null;
  readonly input_file_id: string;
  readonly completion_window: "24h";
  readonly status: BatchStatus;
  readonly output_file_id: string | null;
  readonly error_file_id: string | null;
  readonly created_at: number;
  readonly in_progress_at: number | null;
  readonly expires_at: number;
  readonly finalizing_at: number | null;
  readonly completed_at: number | null;
  readonly failed_at: number | null;
  readonly expired_at: number | null;
  readonly cancelling_at: number | null;
  readonly cancelled_at: number | null;
  readonly request_counts: { readonly total: number; readonly completed: number; readonly failed: number };
  readonly metadata: Readonly<Record<string, string>> | null;
}

/** A batch with what only this service knows of it. */
export interface Job {
  readonly owner: string;
  /** Of whoever asked for it (DER): what it says must still hold at each line. */
  readonly certificate: Buffer;
  /** Where answers and errors are put; they become files when the batch ends. */
  readonly outputFile: string;
  readonly errorFile: string;
  readonly batch: Batch;
}

export const nowS = (): number => Math.floor(Date.now() / 1000);

const windowS = 86_400;

/** One that was just asked for. */
export function newBatch(asked: Pick<Batch, "endpoint" | "input_file_id" | "metadata">): Batch {
  return {
    id: `batch_${randomUUID().replaceAll("-", "")}`,
    object: "batch",
    ...asked,
    errors: null,
    completion_window: "24h",
    status: "validating",
    output_file_id: null,
    error_file_id: null,
    created_at: nowS(),
    in_progress_at: null,
    expires_at: nowS() + windowS,
    finalizing_at: null,
    completed_at: null,
    failed_at: null,
    expired_at: null,
    cancelling_at: null,
    cancelled_at: null,
    request_counts: { total: 0, completed: 0, failed: 0 },
  };
}
