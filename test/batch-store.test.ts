import { statSync } from "node:fs";
import { mock } from "node:test";
import { expect } from "chai";
import { toFile } from "openai";
import { openEncrypted } from "../server/audit/encrypted-database.ts";
import { batchesPath, readAuditKeys } from "../server/audit/keys.ts";
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
    while (again.erase());
    expect([again.lineCount(kept), again.lineCount(cut), again.bytesOf("app")]).to.deep.equal([1, 0, 113]);
    mock.timers.enable({ apis: ["Date"], now: Date.now() + 86_400_000 });
    try {
      again.removeOld();
      expect(again.lineCount(kept)).to.equal(0);
      while (again.erase());
      expect(again.bytesOf("app")).to.equal(0);
    } finally {
      mock.timers.reset();
      again.close();
    }
  });

  it("is gone at once when it is removed, and erased bit by bit, so that nobody waits for it; until then it counts", () => {
    const store = new BatchStore(prepareData(), 1);
    const file = store.beginFile("app", "batch", "a.jsonl");
    const lines = Array.from({ length: 120 }, () => Buffer.from("{}\n"));
    store.append(file, 1, lines);
    store.completeFile(file);
    store.dropFile(file);
    expect([store.lineCount(file), store.line(file, 120), store.files("app", { limit: 1, order: "asc" })]).to.deep.equal([
      0,
      undefined,
      [],
    ]);
    const counted: number[] = [];
    do counted.push(store.bytesOf("app"));
    while (store.erase());
    const all = 120 * 113;
    expect(counted).to.deep.equal([all, all, all, all, 0, 0]); // 50, 50 and 20 lines, the file, and its room on the disk
    store.close();
  });

  it("takes about as much of the disk as it counts, however short its lines are, and gives it back", () => {
    const dataDir = prepareData();
    const stored = (work: (store: BatchStore) => void): { bytes: number; onDisk: number } => {
      const store = new BatchStore(dataDir, 1);
      work(store);
      const bytes = store.bytesOf("app");
      store.close(); // with what stands in the write-ahead log
      return { bytes, onDisk: statSync(batchesPath(dataDir)).size };
    };
    const empty = stored(() => {});
    for (const [length, count] of [
      [1, 3_000],
      [200, 1_000],
      [2_100, 300],
      [4_100, 300],
    ] as const) {
      let file = "";
      const full = stored((store) => {
        file = store.beginFile("app", "batch", "a.jsonl");
        store.append(
          file,
          1,
          Array.from({ length: count }, () => Buffer.alloc(length, "x")),
        );
        store.completeFile(file);
      });
      expect((full.onDisk - empty.onDisk) / full.bytes, `lines of ${length}`).to.be.within(0.8, 2);
      const erased = stored((store) => {
        store.dropFile(file);
        while (store.erase());
      });
      expect([erased.bytes, erased.onDisk], `lines of ${length}`).to.deep.equal([0, empty.onDisk]);
    }
  }).timeout(60_000);

  it("is taken over from before removed files counted", () => {
    const dataDir = prepareData();
    const before = openEncrypted(
      batchesPath(dataDir),
      readAuditKeys(dataDir).batches,
      "It",
      `CREATE TABLE files (
         id TEXT PRIMARY KEY, owner TEXT NOT NULL, purpose TEXT NOT NULL, filename TEXT NOT NULL, bytes INTEGER NOT NULL, ready INTEGER NOT NULL,
         created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL
       ) STRICT;
       CREATE INDEX files_owner ON files (owner);
       CREATE TABLE lines (file TEXT NOT NULL, number INTEGER NOT NULL, text BLOB NOT NULL, PRIMARY KEY (file, number)) STRICT;
       INSERT INTO files VALUES ('file-a', 'app', 'batch', 'a.jsonl', 6, 1, 1, 9999999999), ('file-b', '', 'batch', 'b.jsonl', 3, 0, 1, 1);
       INSERT INTO lines VALUES ('file-a', 1, x'7b7d0a'), ('file-a', 2, x'7b7d0a'), ('file-b', 1, x'7b7d0a');`,
    );
    before.close();
    for (const _ of [1, 2]) {
      const store = new BatchStore(dataDir, 1);
      expect([store.file("app", "file-a").bytes, store.lineCount("file-a"), store.bytesOf("app")]).to.deep.equal([6, 2, 226]);
      expect([store.lineCount("file-b"), store.line("file-b", 1)]).to.deep.equal([0, undefined]);
      store.close();
    }
    const store = new BatchStore(dataDir, 1);
    while (store.erase());
    expect([...store.content("file-a")].join("")).to.equal("{}\n{}\n");
    store.dropFile("file-a");
    while (store.erase());
    expect(store.bytesOf("app")).to.equal(0);
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
      while (store.erase());
      expect([store.batches("app", { limit: 1 }), store.bytesOf("app")]).to.deep.equal([[], 0]);
    } finally {
      mock.timers.reset();
      store.close();
    }
  });

  it("is listed on from a file that was removed meanwhile, until that is erased: then it is said, since the list would seem to end", () => {
    const store = new BatchStore(prepareData(), 1);
    const ids = Array.from({ length: 3 }, () => {
      const id = store.beginFile("app", "batch", "a.jsonl");
      store.completeFile(id);
      return id;
    });
    const [first = "", ...rest] = ids;
    const further = (): string[] => store.files("app", { limit: 10, order: "asc", after: first }).map(({ id }) => id);
    expect(further()).to.deep.equal(rest);
    store.dropFile(first);
    expect(further()).to.deep.equal(rest);
    while (store.erase());
    expect(further).to.throw(/There is no such file/u);
    store.close();
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
    const last = store.beginFile("app", "batch", "a.jsonl");
    store.checkCount("operator");
    const full = /1000 files of this caller/u;
    expect(() => store.checkCount("app")).to.throw(full);
    store.dropFile(last);
    expect(() => store.checkCount("app")).to.throw(full);
    while (store.erase());
    store.checkCount("app");
    store.close();
  });
});
