import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type OpenAI from "openai";
import { cosine } from "../classifiers/embedding/embedder.ts";
import { embeddingRequestSchema } from "../server/http/routes/embeddings.ts";
import { prose, root, startTestAppliance, type TestAppliance } from "./support/appliance.ts";
import { testClassifiers } from "./support/classifiers.ts";
import { entriesOf } from "./support/entries.ts";

const path = "/v1/embeddings";
const read = <Row>(file: string): Row[] =>
  readFileSync(join(root, "classifiers", file), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("embeddings", function () {
  this.timeout(120_000);
  let appliance: TestAppliance;
  let client: OpenAI;
  before(async () => {
    appliance = await startTestAppliance();
    client = appliance.openai();
  });
  after(() => appliance[Symbol.asyncDispose]());

  it("come to the stock SDK as the same vectors in base64 and in float, each of length one", async () => {
    const input = ["The ferry leaves at nine.", "A boat departs in the morning.", "The court dismissed the appeal."];
    const packed = await client.embeddings.create({ model: "all-minilm-l6-v2", input });
    const plain = await client.embeddings.create({ model: "all-minilm-l6-v2", input, encoding_format: "float" });
    expect(packed.data.map(({ index, embedding }) => [index, embedding.length])).to.deep.equal([0, 1, 2].map((index) => [index, 384]));
    const [one, two, three] = plain.data.map(({ embedding }) => Float32Array.from(embedding));
    expect(cosine(one, one)).to.be.closeTo(1, 1e-5);
    expect(cosine(one, Float32Array.from(packed.data[0]?.embedding ?? []))).to.be.closeTo(1, 1e-6);
    expect(cosine(one, two)).to.be.above(cosine(one, three) + 0.3);
    expect(plain.usage.prompt_tokens).to.equal(20);
  });

  it("are those of PyTorch in float32: a cosine of 0.99 at least", async () => {
    const { embedding } = await testClassifiers();
    const references = read<{ file: string; line: number; float16: string }>("embedding/reference.jsonl");
    expect(references.length).to.be.at.least(200);
    const rows = new Map<string, { text: string }[]>();
    for (const { file, line, float16 } of references) {
      if (!rows.has(file)) rows.set(file, read(`training/data/${file}`));
      const { vector } = await embedding.embed(rows.get(file)?.[line]?.text ?? "");
      const expected = Float32Array.from(new Float16Array(Uint8Array.from(Buffer.from(float16, "base64")).buffer));
      expect(cosine(vector, expected), `${file} ${line}`).to.be.at.least(0.99);
    }
  });

  it("stand for all of a long text: its last sentence counts", async () => {
    const { embedding } = await testClassifiers();
    const long = prose(900);
    const [plain, ended, end] = await Promise.all([
      embedding.embed(long),
      embedding.embed(`${long} ${"The appeal court dismissed the claim for damages. ".repeat(20)}`),
      embedding.embed("The appeal court dismissed the claim for damages."),
    ]);
    expect(plain?.tokens).to.be.above(900);
    expect(cosine(ended?.vector, end?.vector)).to.be.above(cosine(plain?.vector, end?.vector) + 0.1);
  });

  it("are recorded before and after, and of a text that the gate blocks there are none", async () => {
    const secret = "kestrel4711 and bob@example.org";
    expect((await appliance.call("POST", path, { input: secret })).status).to.equal(200);
    const { status, body } = await appliance.call("POST", path, { input: ["fine", "\b".repeat(50)] });
    expect([status, body.error.type, body.error.code]).to.deep.equal([400, "guard_refusal", "control_characters"]);
    const [received, settled, refused, end] = entriesOf(appliance.config.dataDir).slice(-4);
    expect([received?.kind, received?.body.endpoint, received?.body.model.id]).to.deep.equal([
      "received",
      "embeddings",
      "all-minilm-l6-v2",
    ]);
    expect([settled?.kind, settled?.body.outcome, settled?.body.usage.promptTokens > 0]).to.deep.equal(["settled", "answered", true]);
    expect([refused?.body.decision, end?.body.outcome, end?.body.code]).to.deep.equal(["block", "refused", "control_characters"]);
    expect(readFileSync(join(appliance.config.dataDir, "audit.db"), "latin1")).to.not.include("kestrel4711");
  });

  it("are of the text as it stands: personal data is recorded as found, and the vector does not change from call to call", async () => {
    const vectorOf = async (input: string): Promise<Float32Array> =>
      Float32Array.from((await appliance.call("POST", path, { input })).body.data[0].embedding);
    const [one, again] = [await vectorOf("mail bob@example.org"), await vectorOf("mail bob@example.org")];
    expect(cosine(one, again)).to.be.closeTo(1, 1e-6);
    expect(entriesOf(appliance.config.dataDir).at(-2)?.body.findings_total).to.equal(1);
  });

  it("takes as many texts as the vendor does, and none more; another model is not found", async () => {
    const many = (count: number): { input: string[] } => ({ input: Array.from({ length: count }, (_, index) => `text ${index % 20}`) });
    const { data, usage } = (await appliance.call("POST", path, many(500))).body;
    expect([data.length, data.at(-1).index, usage.total_tokens > 500]).to.deep.equal([500, 499, true]);
    expect(embeddingRequestSchema.safeParse(many(2_048)).success).to.equal(true);
    expect((await appliance.call("POST", path, many(2_049))).body.error).to.include({ code: "invalid_value", param: "input" });
    const other = await appliance.call("POST", path, { input: "a", model: "text-embedding-3-small" });
    expect([other.status, other.body.error.code]).to.deep.equal([404, "model_not_found"]);
  });
});
