import { ByOrigin } from "./by-origin.ts";
import { Embedder } from "./embedding/embedder.ts";
import { type Model, readEmbeddingModel, readModel } from "./onnx/model.ts";
import { Pool, type PoolSettings } from "./onnx/pool.ts";
import { PiiClassifier } from "./pii/pii-classifier.ts";
import { type Reading, TextClassifier } from "./text-classifier.ts";
import { TokenCount } from "./token-count.ts";
import type { Classifier, EntityVerdict, TextVerdict } from "./verdict.ts";

export const tasks = ["injection", "delicate", "pii"] as const;
export type Task = (typeof tasks)[number];

/** The trained classifiers, on worker threads of their own. */
export interface Classifiers extends AsyncDisposable {
  /** Why they must not be relied on: the first self-test that failed; undefined when all are sound. */
  readonly notReady: string | undefined;
  readonly injection: Classifier<TextVerdict>;
  readonly delicate: Classifier<TextVerdict>;
  readonly pii: Classifier<EntityVerdict>;
  readonly embedding: Embedder;
  /** How much there is to judge of a text: what that costs, before anybody pays it. */
  readonly tokenCount: TokenCount;
  /** The same models on texts as they stand, disguises and all: to see what taking them off is worth. */
  readonly asTheyStand: { readonly injection: Classifier<TextVerdict>; readonly delicate: Classifier<TextVerdict> };
}

/**
 * Reads the models, starts the threads and tests each model on texts that it must tell apart. Throws with a sentence when a model is not the file that
 * its description names, or the device is not there.
 */
export async function openClassifiers(settings: PoolSettings = {}, folder = new URL("./", import.meta.url)): Promise<Classifiers> {
  const read = (name: Task | "planted"): Promise<Model> => readModel(new URL(`${name}/`, folder));
  const [typed, planted, delicate, pii, embedding] = await Promise.all([
    read("injection"),
    read("planted"),
    read("delicate"),
    read("pii"),
    readEmbeddingModel(new URL("embedding/", folder)),
  ]);
  const files = [typed, planted, delicate, pii, embedding].map(({ file }) => file);
  const pool = new Pool(new URL("tokenizer/", folder), files, settings);
  try {
    await pool.ready();
    const injection = (options: { viewed: boolean }): Classifier<TextVerdict> => {
      const [one, other] = [typed, planted].map((model) => {
        return new TextClassifier(model, pool, (logits) => ({ score: sigmoid((logits[0] ?? 0) / model.temperature) }), options);
      }) as [TextClassifier, TextClassifier];
      return new ByOrigin(one, other);
    };
    const judgesDelicate = new TextClassifier(delicate, pool, delicacy(delicate));
    const judges = {
      injection: injection({ viewed: true }),
      delicate: judgesDelicate,
      pii: new PiiClassifier(pii, pool),
      embedding: new Embedder(embedding, pool),
    };
    // One after the other and on one thread: a second would take the core on which the language model is loaded.
    const notReady = await selfTest(Object.values(judges));
    pool.grow();
    return {
      ...judges,
      notReady,
      tokenCount: new TokenCount(pool),
      asTheyStand: { injection: injection({ viewed: false }), delicate: judgesDelicate },
      [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
    };
  } catch (error) {
    await pool[Symbol.asyncDispose]();
    throw error;
  }
}

async function selfTest(judges: readonly { selfTest(): Promise<void> }[]): Promise<string | undefined> {
  try {
    for (const one of judges) await one.selfTest();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Risk levels first, of which "at least 3" is delicate; then one logit a category. */
function delicacy({ id, labels, temperature }: Model): (logits: Float32Array) => Reading {
  const delicate = labels.indexOf("risk>=3");
  if (delicate === -1) throw new Error(`${id} has no label risk>=3.`);
  const categories = labels.flatMap((label, index) => (label.startsWith("risk>=") ? [] : [[label, index] as const]));
  return (logits) => ({
    score: sigmoid((logits[delicate] ?? 0) / temperature),
    categories: Object.fromEntries(categories.map(([label, index]) => [label, sigmoid(logits[index] ?? 0)])),
  });
}

function sigmoid(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
}
