import type { RequestHandler } from "express";
import type { z } from "zod";
import type { Role } from "../../certs/identity.ts";

/** One method at one path: who may call it, what it takes, what it answers. */
export interface Operation {
  readonly method: "GET" | "POST" | "DELETE";
  /** As OpenAPI writes it: `/v1/models/{id}`. */
  readonly path: string;
  readonly summary: string;
  /** Absent: every role. */
  readonly roles?: readonly Role[];
  /** Absent: it takes none. */
  readonly body?: z.ZodType;
  /** A form with a file (multipart/form-data), in place of a body. */
  readonly form?: z.ZodType;
  /** What may stand behind the question mark. Absent: nothing that counts. */
  readonly query?: z.ZodObject;
  /** JSON, or plain text, or a file, where there is none. */
  readonly reply: z.ZodType | "text" | "file";
  /** Answers of other statuses that are no error. */
  readonly otherwise?: Readonly<Record<number, z.ZodType>>;
  /** What each event of a streamed answer holds, where there is such an answer. */
  readonly event?: z.ZodType;
  readonly handle: RequestHandler;
}
