import { randomBytes } from "node:crypto";
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeFileWhole } from "../../certs/write-file.ts";
import { publicText } from "./checkpoint.ts";
import { type AuditDatabase, type Entry, entryHash, genesisHash, openAuditDatabase } from "./database.ts";
import { changeKey } from "./encrypted-database.ts";
import { HeadFile } from "./head.ts";
import { batchesPath, deriveKeys, readAuditKeys, readSecret, secretPath } from "./keys.ts";
import { lockData } from "./lock.ts";
import { headOf } from "./snapshot.ts";

/**
 * Draws a new secret for a log and encrypts its database, and that of files and batches, anew under it. The old secret opens nothing any more; it is kept inside the database, since texts and
 * hashes of texts from before can be read with it alone. A rotation that was interrupted is finished, or undone, by the next command that opens the log.
 */
export function rotateAuditKey(dataDir: string): void {
  using _lock = lockData(dataDir);
  finishKeyRotation(dataDir);
  headOf(dataDir); // throws unless the log ends where its head says
  const keys = readAuditKeys(dataDir);
  const database = openAuditDatabase(join(dataDir, "audit.db"), keys.database);
  try {
    database.exec("CREATE TABLE IF NOT EXISTS former_keys (secret BLOB NOT NULL UNIQUE) STRICT");
    database.prepare("INSERT OR IGNORE INTO former_keys VALUES (?)").run(readSecret(secretPath(dataDir)));
  } finally {
    database.close();
  }
  const secret = randomBytes(32);
  writeFileWhole(newPath(dataDir), `${secret.toString("hex")}\n`, 0o600);
  changeKey(join(dataDir, "audit.db"), keys.database, deriveKeys(secret).database, "The audit log");
  finishKeyRotation(dataDir);
}

/** What remains to be done when the database is under the new secret already; otherwise the new one is thrown away. */
export function finishKeyRotation(dataDir: string): void {
  if (!existsSync(newPath(dataDir))) return;
  const keys = deriveKeys(readSecret(newPath(dataDir)));
  let database: AuditDatabase;
  try {
    openAuditDatabase(join(dataDir, "audit.db"), keys.database, { readonly: true }).close();
    database = openAuditDatabase(join(dataDir, "audit.db"), keys.database);
  } catch {
    rmSync(newPath(dataDir));
    return;
  }
  try {
    const newest = database.prepare<[], Entry>("SELECT * FROM entries ORDER BY seq DESC LIMIT 1");
    const before = newest.get();
    const signedFromNowOn = publicText(keys.signing);
    const told = before?.kind === "rekeyed" && JSON.parse(before.body).signedFromNowOn === signedFromNowOn;
    if (!told) {
      const signedBefore = publicText(deriveKeys(readSecret(secretPath(dataDir))).signing);
      const entry = {
        seq: (before?.seq ?? 0) + 1,
        at: new Date().toISOString(),
        kind: "rekeyed" as const,
        call: "",
        body: JSON.stringify({ signedBefore, signedFromNowOn }),
      };
      database
        .prepare("INSERT INTO entries VALUES (:seq, :at, :kind, :call, :body, :hash)")
        .run({ ...entry, hash: entryHash(before?.hash ?? genesisHash, entry) });
    }
    const head = HeadFile.open(join(dataDir, "audit.head"), keys.head);
    for (const entry of database.prepare<[], Entry>("SELECT * FROM entries ORDER BY seq DESC LIMIT 2").all().toReversed())
      head.write(entry);
    head.close();
  } finally {
    database.close();
  }
  changeKey(batchesPath(dataDir), readAuditKeys(dataDir).batches, keys.batches, "The database of files and batches");
  renameSync(newPath(dataDir), secretPath(dataDir));
}

function newPath(dataDir: string): string {
  return `${secretPath(dataDir)}.next`;
}
