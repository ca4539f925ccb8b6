import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect } from "chai";
import { percentile } from "../bench/statistics.ts";
import type { Origin } from "../classifiers/classifier.ts";
import { readModel } from "../classifiers/onnx/model.ts";
import { Pool } from "../classifiers/onnx/pool.ts";
import { wordsOf } from "../classifiers/pii/tags.ts";
import { inOrder } from "../scripts/in-order.ts";
import { root } from "./support/appliance.ts";
import { testClassifiers } from "./support/classifiers.ts";

const folder = new URL("../classifiers/", import.meta.url);

const read = <Row>(file: string): Row[] =>
  readFileSync(join(root, "classifiers", file), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

/** Where the text of a row lies in the training's data, and its score. */
interface Reference {
  readonly file: string;
  readonly line: number;
  readonly origin?: Origin;
  readonly score: number;
}

/** Share of verdicts that differ, and the 99th percentile of the difference of scores. */
function parting(pairs: readonly (readonly [number, number])[], threshold: number): { flipped: number; shift: number } {
  return {
    flipped: pairs.filter(([a, b]) => a >= threshold !== b >= threshold).length / pairs.length,
    shift: percentile(
      pairs.map(([a, b]) => Math.abs(a - b)),
      0.99,
    ),
  };
}

/** The scores were computed by PyTorch when the models were published (`classifiers/training/publish.py`). */
describe("the served models against PyTorch", function () {
  this.timeout(300_000);

  for (const task of ["injection", "planted", "delicate"] as const) {
    it(`${task}: at most 0.5 % of the verdicts flip, and 99 of 100 scores are within 0.05`, async () => {
      const classifier = (await testClassifiers()).asTheyStand[task === "planted" ? "injection" : task];
      const references = read<Reference>(`${task}/reference.jsonl`);
      expect(references.length).to.be.at.least(2_000);
      const files = new Map(
        [...new Set(references.map(({ file }) => file))].map((file) => [file, read<{ text: string }>(`training/data/${file}`)]),
      );
      const judged = inOrder(Readable.from(references), 64, async ({ file, line, origin = "user", score }: Reference) => {
        const verdict = await classifier.judge(files.get(file)?.[line]?.text ?? "", { origin });
        return { pair: [score, verdict.score] as const, threshold: verdict.threshold };
      });
      const all = await Array.fromAsync(judged);
      const pairs = all.map(({ pair }) => pair);
      const threshold = all[0]?.threshold ?? 0;
      expect(pairs.filter(([score]) => score >= threshold).length, "of both classes").to.be.within(500, references.length - 500);
      const { flipped, shift } = parting(pairs, threshold);
      expect(flipped).to.be.at.most(0.005);
      expect(shift).to.be.at.most(0.05);
    });
  }

  it("pii: at most 0.5 % of the words flip, and 99 of 100 scores are within 0.05", async () => {
    const { file, labels, special, temperature, thresholds } = await readModel(new URL("pii/", folder));
    await using pool = new Pool(new URL("tokenizer/", folder), [], {});
    const references = read<{ text: string; scores: number[] }>("pii/reference.jsonl");
    expect(references.length).to.be.at.least(2_000);
    const pairs = await Promise.all(
      references.map(async ({ text, scores }) => {
        const tokens = await pool.tokenise(text);
        const ids = Int32Array.of(special.cls, ...tokens.ids, special.sep);
        const [logits = new Float32Array()] = await pool.compute([{ file, ids, cases: Uint8Array.of(0, ...tokens.cases, 0) }]);
        const window = { own: { from: 0, to: tokens.ids.length }, from: 0, logits: logits.subarray(labels.length) };
        const served = [...wordsOf(tokens, [window], labels, temperature)].map(({ score }) => score);
        expect(served.length, text).to.equal(scores.length);
        return scores.map((score, index) => [score, served[index] ?? 0] as const);
      }),
    );
    const { flipped, shift } = parting(pairs.flat(), thresholds.any ?? 0);
    expect(flipped).to.be.at.most(0.005);
    expect(shift).to.be.at.most(0.05);
  });
});
