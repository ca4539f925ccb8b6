import { type Model, thresholdOf } from "../onnx/model.ts";
import type { Pool } from "../onnx/pool.ts";
import type { Tokens } from "../onnx/tokens.ts";
import { ownParts, type Window, windowsOf } from "../onnx/windows.ts";
import type { Input } from "../onnx/worker.ts";
import type { Classifier, EntityVerdict, JudgeOptions } from "../verdict.ts";
import { VerdictCache } from "../verdict-cache.ts";
import { findAnnounced } from "./context.ts";
import { type Label, labels } from "./entity.ts";
import { join } from "./join.ts";
import { findPersonalData } from "./patterns.ts";
import { entitiesOf, wordsOf } from "./tags.ts";

/** `pii`: patterns, words of context and the model, one list of them. */
export class PiiClassifier implements Classifier<EntityVerdict> {
  readonly model: Model;
  readonly #pool: Pool;
  readonly #cache: VerdictCache<EntityVerdict>;

  constructor(model: Model, pool: Pool) {
    this.model = model;
    this.#pool = pool;
    this.#cache = new VerdictCache(`${model.sha256} ${JSON.stringify(model.thresholds)}`);
  }

  async judge(text: string, { signal, scope = "", labels: asked = labels }: JudgeOptions = {}): Promise<EntityVerdict> {
    return await this.#cache.answer([text, scope, ...asked], () => this.#pool.admit(() => this.#judge(text, asked, signal)));
  }

  async selfTest(): Promise<void> {
    const { id, self_test } = this.model;
    const positive = await this.judge(self_test.positive);
    const negative = await this.judge(self_test.negative);
    if (positive.entities.length === 0 || negative.entities.length > 0) {
      const said = `${positive.entities.length} and ${negative.entities.length} pieces of personal data`;
      throw new Error(`${id} does not tell its known positive from its known negative (${said}).`);
    }
  }

  async #judge(text: string, asked: readonly Label[], signal?: AbortSignal): Promise<EntityVerdict> {
    const { tokens_max, overlap, labels: tags, temperature } = this.model;
    const tokens = await this.#pool.tokenise(text, signal);
    const windows = windowsOf(tokens.ids.length, tokens_max - 2, overlap);
    const logits = await this.#pool.compute(
      windows.map((window) => this.#inputOf(tokens, window)),
      signal,
    );
    const tagged = ownParts(windows).map((own, index) => ({
      own,
      from: windows[index]?.from ?? 0,
      logits: (logits[index] ?? new Float32Array()).subarray(tags.length), // without the token before the first
    }));
    const threshold = thresholdOf(this.model, "any");
    const found = entitiesOf(wordsOf(tokens, tagged, tags, temperature), threshold);
    return {
      threshold,
      entities: join(...[findPersonalData(text), findAnnounced(text), found].map((of) => of.filter(({ label }) => asked.includes(label)))),
      tokensTotal: tokens.ids.length,
      tokensScanned: windows.at(-1)?.to ?? 0,
      windows: windows.length,
    };
  }

  #inputOf({ ids, cases }: Tokens, { from, to }: Window): Input {
    const { cls, sep } = this.model.special;
    return {
      file: this.model.file,
      ids: Int32Array.of(cls, ...ids.subarray(from, to), sep),
      cases: Uint8Array.of(0, ...cases.subarray(from, to), 0),
    };
  }
}
