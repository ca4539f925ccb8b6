import type { Passage } from "../pipeline/passage.ts";

/** A file as it was sent. */
export interface Document {
  /** Lower case, without parameters. */
  readonly mediaType: string;
  /** Default: UTF-8. */
  readonly charset?: string;
  readonly bytes: Buffer;
}

/** What was read of a file: all that has words in it, seen by a reader or not. It is what is judged, and what the model reads. */
export interface Reading {
  readonly passage: Passage;
  /** Parts that are no text, by name. */
  readonly unread: readonly string[];
}

/** A file can't be read. The message says why, as the end of a sentence, and never quotes it. */
export class UnreadableDocument extends Error {
  /** It is nothing that is read here, and may be well all the same. */
  readonly isOtherKind: boolean;

  constructor(message: string, { isOtherKind = false, cause }: { isOtherKind?: boolean; cause?: unknown } = {}) {
    super(message, { cause });
    this.isOtherKind = isOtherKind;
  }
}
