import { copyFileSync, cpSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { mock } from "node:test";
import { expect } from "chai";
import { sentenceOf } from "../scripts/failure.ts";
import { AuditLog } from "../server/audit/audit-log.ts";
import { entryHash, openAuditDatabase } from "../server/audit/database.ts";
import { HeadFile } from "../server/audit/head.ts";
import { createAuditSecret, readAuditKeys, secretPath } from "../server/audit/keys.ts";
import { AuditReader } from "../server/audit/read.ts";
import { verifyAuditLog } from "../server/audit/verify.ts";
import { scratchDir } from "./support/scratch.ts";

function newLog(calls = 5): string {
  const dataDir = scratchDir();
  createAuditSecret(dataDir);
  const log = AuditLog.open(dataDir, {});
  for (let call = 0; call < calls; call += 1) {
    const { name, sealed } = log.seal(`text ${call}`);
    log.append("received", `call-${call}`, { messages: [{ stored: name }] }, [sealed]);
    log.append("settled", `call-${call}`, { outcome: "answered" });
  }
  log.close();
  return dataDir;
}

function tamper(dataDir: string, sql: string): void {
  const database = openAuditDatabase(join(dataDir, "audit.db"), readAuditKeys(dataDir).database);
  database.exec(sql);
  database.close();
}

const problems = (dataDir: string): string => verifyAuditLog(dataDir).problems.join("\n");

describe("the audit log", () => {
  it("is whole after ordinary use, also across restarts", () => {
    const dataDir = newLog();
    AuditLog.open(dataDir, {}).close();
    expect(verifyAuditLog(dataDir)).to.include({ entries: 14 }).and.to.have.property("problems").that.is.empty;
  });

  it("reports an altered row", () => {
    const dataDir = newLog();
    tamper(dataDir, `UPDATE entries SET body = replace(body, 'answered', 'refused') WHERE seq = 5`);
    expect(problems(dataDir)).to.match(/Entry 5 .* was altered/u);
  });

  it("reports one flipped bit in a hash", () => {
    const dataDir = newLog();
    tamper(dataDir, `UPDATE entries SET hash = substr(hash, 1, 63) || CASE substr(hash, 64) WHEN '0' THEN '1' ELSE '0' END WHERE seq = 3`);
    expect(problems(dataDir)).to.match(/Entry 3 /u);
  });

  it("reports a missing row", () => {
    const dataDir = newLog();
    tamper(dataDir, "DELETE FROM entries WHERE seq = 4");
    expect(problems(dataDir)).to.match(/Entries 4 to 4 are missing/u);
  });

  it("reports two swapped rows", () => {
    const dataDir = newLog();
    tamper(
      dataDir,
      "UPDATE entries SET seq = 99 WHERE seq = 4; UPDATE entries SET seq = 4 WHERE seq = 6; UPDATE entries SET seq = 6 WHERE seq = 99",
    );
    expect(problems(dataDir)).to.match(/Entry 4 .* altered or moved/u);
  });

  it("reports rows cut off its end, and refuses to go on behind them", () => {
    const dataDir = newLog();
    tamper(dataDir, "DELETE FROM entries WHERE seq > 9");
    expect(problems(dataDir)).to.match(/cut off the end/u);
    expect(() => AuditLog.open(dataDir, {})).to.throw(/entries are missing/u);
  });

  it("reports a rewritten tail with a chain of its own", () => {
    const dataDir = newLog();
    const database = openAuditDatabase(join(dataDir, "audit.db"), readAuditKeys(dataDir).database);
    type Row = { seq: number; at: string; kind: "settled"; call: string; body: string; hash: string };
    let previous = database.prepare<[], Row>("SELECT * FROM entries WHERE seq = 9").get();
    if (previous === undefined) throw new Error("there are twelve entries");
    for (const row of database.prepare<[], Row>("SELECT * FROM entries WHERE seq > 9").all()) {
      const forged = { ...row, body: '{"outcome":"forged"}' };
      previous = { ...forged, hash: entryHash(previous.hash, forged) };
      database.prepare("UPDATE entries SET body = ?, hash = ? WHERE seq = ?").run(previous.body, previous.hash, previous.seq);
    }
    database.close();
    expect(problems(dataDir)).to.match(/does not hold entry 12 as audit.head has it/u);
  });

  it("reports an older copy of the database put in its place", () => {
    const dataDir = newLog();
    const path = join(dataDir, "audit.db");
    copyFileSync(path, `${path}.old`);
    const log = AuditLog.open(dataDir, {});
    log.append("received", "later", {});
    log.append("settled", "later", {});
    log.close();
    renameSync(`${path}.old`, path);
    for (const rest of ["-wal", "-shm"]) rmSync(path + rest, { force: true });
    expect(problems(dataDir)).to.match(/cut off the end or the file was replaced/u);
  });

  it("reports a head that is missing or signed by another key", () => {
    const dataDir = newLog();
    rmSync(join(dataDir, "audit.head"));
    expect(problems(dataDir)).to.match(/audit.head is missing/u);
    writeFileSync(join(dataDir, "audit.head"), JSON.stringify({ seq: 1, hash: "0".repeat(64), mac: "0".repeat(64) }));
    expect(problems(dataDir)).to.match(/not signed with this log's key/u);
  });

  it("reports a stored text that was altered or removed", () => {
    const altered = newLog();
    tamper(altered, "UPDATE texts SET sealed = zeroblob(40)");
    expect(problems(altered)).to.match(/Stored text .* was altered/u);
    const removed = newLog();
    tamper(removed, "DELETE FROM texts");
    expect(problems(removed)).to.match(/text of entry 2 is missing/u);
  });

  it("survives a torn write of its head", () => {
    const dataDir = newLog();
    const path = join(dataDir, "audit.head");
    const text = readFileSync(path, "latin1");
    // Entry 12, the newest, is in the first slot; entry 11 in the second.
    writeFileSync(path, text.slice(0, 100).padEnd(256, "\0") + text.slice(256));
    expect(problems(dataDir)).to.equal("");
    // Ended again before a second entry was written, which would have mended it.
    const log = AuditLog.open(dataDir, {});
    expect(problems(dataDir)).to.equal("");
    log.close();
    AuditLog.open(dataDir, {}).close();
    expect(problems(dataDir)).to.equal("");
  });

  it("writes no entry more while its head can't be written, and is whole then and after", () => {
    const dataDir = newLog();
    const log = AuditLog.open(dataDir, {});
    const failing = mock.method(HeadFile.prototype, "write", () => {
      throw new Error("EIO: i/o error, write");
    });
    for (const call of ["a", "b", "c"]) expect(() => log.append("received", call, {})).to.throw(/EIO/u);
    expect(problems(dataDir)).to.equal("");
    const copy = scratchDir();
    cpSync(dataDir, copy, { recursive: true });
    failing.mock.restore();
    AuditLog.open(copy, {}).close();
    expect(problems(copy)).to.equal("");
    log.append("received", "d", {});
    log.append("settled", "d", {});
    log.close();
    expect(verifyAuditLog(dataDir)).to.include({ entries: 17 });
    expect(problems(dataDir)).to.equal("");
  });

  it("begins anew where a first start ended before its first entry, wherever that was", () => {
    const without = (head: string | undefined): string => {
      const dataDir = scratchDir();
      createAuditSecret(dataDir);
      AuditLog.open(dataDir, {}).close();
      tamper(dataDir, "DELETE FROM entries");
      rmSync(join(dataDir, "audit.head"));
      if (head !== undefined) writeFileSync(join(dataDir, "audit.head"), head);
      return dataDir;
    };
    for (const head of [undefined, "", "\0".repeat(256)]) {
      const dataDir = without(head);
      AuditLog.open(dataDir, {}).close();
      expect(problems(dataDir)).to.equal("");
    }
    expect(() => AuditLog.open(without("x".repeat(256)), {})).to.throw(/entries are missing/u);
  });

  it("takes an entry that the head does not know yet for one that was being written, and no more than one", () => {
    const dataDir = newLog();
    const path = join(dataDir, "audit.head");
    const heads = [readFileSync(path)];
    for (const _ of [1, 2]) {
      AuditLog.open(dataDir, {}).close(); // two entries each
      heads.push(readFileSync(path));
    }
    const [, second] = heads;
    if (second === undefined) throw new Error("there are three");
    writeFileSync(path, second);
    expect(problems(dataDir)).to.match(/audit\.head and the end of the log \(entry 16\) do not belong together/u);
    expect(() => AuditLog.open(dataDir, {})).to.throw(/entries are missing, or one of the two files was replaced/u);
    tamper(dataDir, "DELETE FROM entries WHERE seq = 16");
    expect(problems(dataDir)).to.equal("");
    AuditLog.open(dataDir, {}).close();
  });

  it("reports an end cut off together with the newer half of the head", () => {
    const dataDir = newLog();
    tamper(dataDir, "DELETE FROM entries WHERE seq = 12");
    const head = readFileSync(join(dataDir, "audit.head"), "latin1");
    writeFileSync(join(dataDir, "audit.head"), "\0".repeat(256) + head.slice(256));
    expect(problems(dataDir)).to.match(/do not belong together: entries were cut off/u);
    expect(() => AuditLog.open(dataDir, {})).to.throw(/entries are missing/u);
  });

  it("settles the calls that a crash left open", () => {
    const dataDir = scratchDir();
    createAuditSecret(dataDir);
    const log = AuditLog.open(dataDir, {});
    log.append("received", "open", {});
    log.append("received", "done", {});
    log.append("settled", "done", {});
    log.close();
    AuditLog.open(dataDir, {}).close();
    const database = openAuditDatabase(join(dataDir, "audit.db"), readAuditKeys(dataDir).database, { readonly: true });
    const settled = database.prepare("SELECT call, body FROM entries WHERE kind = 'settled' ORDER BY seq").all();
    database.close();
    expect(settled).to.deep.equal([
      { call: "done", body: "{}" },
      { call: "open", body: '{"outcome":"interrupted"}' },
    ]);
    expect(problems(dataDir)).to.equal("");
  });

  it("is one service's alone", () => {
    const dataDir = newLog();
    const log = AuditLog.open(dataDir, {});
    expect(() => AuditLog.open(dataDir, {})).to.throw(/Another sallyport service/u);
    expect(problems(dataDir), "but can be verified meanwhile").to.equal("");
    log.close();
    AuditLog.open(dataDir, {}).close();
  });

  it("refuses to write once its file was removed or replaced", () => {
    const dataDir = newLog();
    const log = AuditLog.open(dataDir, {});
    const path = join(dataDir, "audit.db");
    renameSync(path, `${path}.moved`);
    expect(() => log.append("received", "x", {})).to.throw(/was removed or replaced/u);
    expect(log.notWritable).to.match(/was removed or replaced/u);
    copyFileSync(`${path}.moved`, path);
    expect(() => log.append("received", "x", {})).to.throw(/removed or replaced/u);
    expect(log.notWritable).to.match(/removed or replaced/u);
    for (const file of ["audit.db-wal", "audit.head"]) {
      const other = newLog();
      const running = AuditLog.open(other, {});
      rmSync(join(other, file));
      expect(() => running.append("received", "x", {}), file).to.throw(/removed or replaced/u);
      expect(running.notWritable, file).to.match(/removed or replaced/u);
      symlinkSync(file, join(other, file)); // can't even be looked at
      expect(() => running.append("received", "x", {}), file).to.throw(/ELOOP/u);
      expect(running.notWritable, file).to.match(/can't be written: ELOOP/u);
    }
  });

  it("keeps its write-ahead log short while somebody reads it slowly", () => {
    const dataDir = newLog(100);
    const log = AuditLog.open(dataDir, {});
    using reader = new AuditReader(dataDir);
    const entries = reader.entries();
    expect(entries.next().value?.seq).to.equal(1);
    for (let entry = 0; entry < 250; entry += 1) log.append("restored", "", { filler: "x".repeat(100_000) });
    expect(statSync(join(dataDir, "audit.db-wal")).size).to.be.below(10_000_000);
    expect([...entries].at(-1)?.seq, "more than a page of them").to.equal(453);
    log.close();
  }).timeout(60_000);

  it("is encrypted, and can't be opened with another key or without one", () => {
    const dataDir = newLog();
    const bytes = readFileSync(join(dataDir, "audit.db"));
    expect(bytes.includes("SQLite format 3")).to.equal(false);
    expect(bytes.includes("received")).to.equal(false);
    const secret = readFileSync(secretPath(dataDir), "utf8");
    writeFileSync(
      secretPath(dataDir),
      secret.replace(/^./u, (digit) => (digit === "0" ? "1" : "0")),
    );
    expect(() => verifyAuditLog(dataDir)).to.throw(/its key is another one/u);
    rmSync(secretPath(dataDir));
    expect(() => verifyAuditLog(dataDir)).to.throw(/audit.key is missing, and the audit log can't be read without it/u);
    expect(() => createAuditSecret(dataDir), "a new key would make the old log unreadable for good").to.throw(/Restore it/u);
  });

  it("is called damaged only where it is: whatever else keeps it from being opened is said", async () => {
    const dataDir = newLog();
    const [path, { database: key }] = [join(dataDir, "audit.db"), readAuditKeys(dataDir)];
    const why = (open: () => unknown): string => {
      try {
        open();
        return "opened";
      } catch (error) {
        return String(sentenceOf(error));
      }
    };
    const read = (file: string): string => why(() => openAuditDatabase(file, key, { readonly: true }).close());
    expect(read(join(dataDir, "none.db"))).to.match(
      /^The audit log .*none\.db can't be opened: it is not there, or this user has no right to it/u,
    );
    const other = openAuditDatabase(path, key);
    other.pragma("journal_mode = DELETE");
    other.exec("BEGIN EXCLUSIVE");
    expect(read(path)).to.match(/audit\.db can't be opened: another command reads or writes it \(database is locked\)\./u);
    other.close();
    writeFileSync(path, readFileSync(path).fill(0, 100, 200));
    expect(read(path)).to.match(/audit\.db can't be opened: it is damaged, or its key is another one/u);
  }).timeout(20_000);

  it("keeps its files to their owner", () => {
    const dataDir = newLog();
    for (const file of ["audit.db", "audit.head", "keys/audit.key"]) {
      expect(statSync(join(dataDir, file)).mode & 0o777, file).to.equal(0o600);
    }
    expect(readdirSync(dirname(secretPath(dataDir)))).to.deep.equal(["audit.key"]);
  });
});
