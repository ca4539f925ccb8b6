import { newId } from "../new-id.ts";
import type { Batch } from "../wire/batch-replies.ts";

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
    id: newId("batch_"),
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
