import { workerData } from "node:worker_threads";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { unveiled, type View } from "../views/views.ts";
import { Tokeniser, type Tokens } from "./tokens.ts";

/** What a worker is given when it starts. */
export interface WorkerSettings {
  readonly tokenizer: string;
  readonly device: "cpu" | "cuda" | "webgpu";
  /** Threads one computation uses. */
  readonly threads: number;
}

/** One window of a text, special tokens and all. */
export interface Input {
  /** Path of the model. */
  readonly file: string;
  readonly ids: Int32Array;
  /** For a model that takes the letter case of tokens. */
  readonly cases?: Uint8Array;
}

const { tokenizer, device, threads } = workerData as WorkerSettings; // what the pool hands to its workers
const tokeniser = new Tokeniser(new URL(tokenizer));
const sessions = new Map<string, Promise<InferenceSession>>();

export function tokenise(text: string): Tokens {
  return tokeniser.tokensOf(text);
}

/** Of a long text this takes a while. */
export function unveil(text: string): View {
  return unveiled(text);
}

/** Logits, as flat as the model gives them. One window at a time: an int8 model has one scale for a whole batch, so that a neighbour would change the score. */
export async function compute({ file, ids, cases }: Input): Promise<Float32Array> {
  const session = await sessionOf(file);
  const shape = [1, ids.length];
  const { logits } = await session.run({
    ids: new Tensor("int64", BigInt64Array.from(ids, BigInt), shape),
    mask: new Tensor("int64", new BigInt64Array(ids.length).fill(1n), shape),
    ...(cases === undefined ? {} : { cases: new Tensor("int64", BigInt64Array.from(cases, BigInt), shape) }),
  });
  if (!(logits?.data instanceof Float32Array)) throw new Error(`${file} answers with no \`logits\` in float.`);
  // A score that is no number would reach no threshold.
  if (!logits.data.every(Number.isFinite)) throw new Error(`${file} answers with a logit that is no number.`);
  return logits.data;
}

/** Opens models, by their paths, so that the first text does not wait for it. */
export async function open(models: readonly string[]): Promise<void> {
  await Promise.all(models.map(sessionOf));
}

/** Opened once a worker, and kept. */
function sessionOf(file: string): Promise<InferenceSession> {
  const opened =
    sessions.get(file) ??
    InferenceSession.create(file, {
      executionProviders: [device],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: "sequential",
      logSeverityLevel: 4,
      // A thread that waits must not burn the core that the language model computes on; and 8-bit products that CPUs without VNNI would cut off are computed another way there.
      extra: { session: { intra_op: { allow_spinning: "0" }, x64quantprecision: "1" } },
    });
  sessions.set(file, opened);
  // Whatever it failed for may be over when the next text comes.
  opened.catch(() => sessions.delete(file));
  return opened;
}
