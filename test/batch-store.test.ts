import { mock } from "node:test";
import { expect } from "chai";
import { toFile } from "openai";
import { newBatch } from "../server/batches/batch.ts";
import { BatchStore } from "../server/batches/batch-store.ts";
import { prepareData, startTestAppliance } from "./support/appliance.ts";

describe("what is stored of batches", () => {
  it("is removed after its retention, and an upload that was cut off at the next start", () => {
    const dataDir = prepareData();
    const store = new BatchStore(dataDir, 1);
    const kept = store.beginFile("app", "batch", "a.jsonl");
    store.append(kept, 1, [Buffer.from("{}\n")]);
    store.completeFile(kept);
    const cut = store.beginFile("app", "batch", "b.jsonl");
    store.append(cut, 1, [Buffer.from("{}\n")]);
    store.close();
    const again = new BatchStore(dataDir, 1);
    expect([again.lineCount(kept), again.lineCount(cut), again.bytesOf("app")]).to.deep.equal([1, 0, 3]);
    mock.timers.enable({ apis: ["Date"], now: Date.now() + 86_400_000 });
    try {
      again.removeOld();
      expect([again.lineCount(kept), again.bytesOf("app")]).to.deep.equal([0, 0]);
    } finally {
      mock.timers.reset();
      again.close();
    }
  });

  it("is gone at once when it is removed, and erased bit by bit, so that nobody waits for it", () => {
    const store = new BatchStore(prepareData(), 1);
    const file = store.beginFile("app", "batch", "a.jsonl");
    const lines = Array.from({ length: 120 }, () => Buffer.from("{}\n"));
    store.append(file, 1, lines);
    store.completeFile(file);
    store.removeFile("app", file);
    expect([store.lineCount(file), store.line(file, 120), store.bytesOf("app")]).to.deep.equal([0, undefined, 0]);
    let pieces = 0;
    while (store.erase()) pieces += 1;
    expect(pieces).to.equal(4); // 50, 50 and 20 lines, and the file
    store.close();
  });

  it("keeps what came of a batch for the whole retention, however long the batch went on", () => {
    const dayMs = 86_400_000;
    const store = new BatchStore(prepareData(), 1);
    const batch = newBatch({ endpoint: "/v1/chat/completions", input_file_id: "file-x", metadata: null });
    store.addBatch("app", Buffer.from("a certificate"), batch);
    const job = store.job("app", batch.id);
    mock.timers.enable({ apis: ["Date"], now: Date.now() + dayMs });
    try {
      store.record(job, 1, "completed", [Buffer.from("{}\n")]);
      store.end(job, "expired");
      store.removeOld();
      const { output_file_id } = store.job("app", job.batch.id).batch;
      expect(store.file("app", output_file_id ?? "").bytes).to.equal(3);
      mock.timers.setTime(Date.now() + dayMs);
      store.removeOld();
      expect([store.batches("app", { limit: 1 }), store.bytesOf("app")]).to.deep.equal([[], 0]);
    } finally {
      mock.timers.reset();
      store.close();
    }
  });

  it("is never taken for whole when it is removed while it is read", async () => {
    await using appliance = await startTestAppliance();
    const client = appliance.openai();
    const text = `${"x".repeat(99_999)}\n`.repeat(200);
    const { id } = await client.files.create({ purpose: "batch", file: await toFile(Buffer.from(text), "a.jsonl") });
    const { status, body } = await client.files.content(id);
    expect([status, (await client.files.delete(id)).deleted]).to.deep.equal([200, true]);
    const read = async (): Promise<number> => (await Array.fromAsync(body as AsyncIterable<Uint8Array>)).length;
    const failure = await read().catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(Error);
  });

  it("is bounded in number for each caller", () => {
    const store = new BatchStore(prepareData(), 1);
    for (let count = 0; count < 999; count += 1) store.beginFile("app", "batch", "a.jsonl");
    store.checkCount("app");
    store.beginFile("app", "batch", "a.jsonl");
    expect(() => store.checkCount("app")).to.throw(/1000 files of this caller/u);
    store.checkCount("operator");
    store.close();
  });
});
