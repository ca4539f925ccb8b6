import { randomBytes } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { renameDurably, writeFileWhole } from "../../certs/write-file.ts";
import { entryWriter, lastEntries, openAuditDatabase } from "./database.ts";
import { changeKey, isUnder } from "./encrypted-database.ts";
import { HeadFile } from "./head.ts";
import {
  batchesPath,
  deriveKeys,
  nextSecretPath,
  provenSecretPath,
  readAuditKeys,
  readSecret,
  refuseHalfRotated,
  secretPath,
} from "./keys.ts";
import { lockData, refuseHalfRestored } from "./lock.ts";
import { publicText } from "./signing.ts";
import { headOf } from "./snapshot.ts";

/**
 * Draws a new secret for a log and encrypts its database, and that of files and batches, anew under it. The old secret opens nothing any more; it is kept inside the database, since texts and
 * hashes of texts from before can be read with it alone. A rotation that was interrupted is finished, or undone, by the next command that opens the log.
 */
export function rotateAuditKey(dataDir: string): void {
  using _lock = lockData(dataDir);
  refuseHalfRestored(dataDir);
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
  writeFileWhole(nextSecretPath(dataDir), `${secret.toString("hex")}\n`, 0o600);
  changeKey(join(dataDir, "audit.db"), keys.database, deriveKeys(secret).database, "The audit log");
  finishKeyRotation(dataDir);
}

/** What remains to be done when the database is under the new secret already; when it is under the old one, the new one is thrown away. Throws when it is under neither, or gone. */
export function finishKeyRotation(dataDir: string): void {
  const path = join(dataDir, "audit.db");
  // Opened to write, it would begin anew, under a key that is then taken for the log's.
  if (!existsSync(path)) refuseHalfRotated(dataDir);
  if (existsSync(nextSecretPath(dataDir))) {
    if (isUnder(path, deriveKeys(readSecret(nextSecretPath(dataDir))).database))
      renameDurably(nextSecretPath(dataDir), provenSecretPath(dataDir));
    else {
      openAuditDatabase(path, readAuditKeys(dataDir).database).close(); // rolls back what was begun
      rmSync(nextSecretPath(dataDir));
    }
  }
  if (!existsSync(provenSecretPath(dataDir))) return;
  const keys = deriveKeys(readSecret(provenSecretPath(dataDir)));
  const database = openAuditDatabase(path, keys.database);
  try {
    const [before] = lastEntries(database, 1);
    const signedFromNowOn = publicText(keys.signing);
    const told = before?.kind === "rekeyed" && JSON.parse(before.body).signedFromNowOn === signedFromNowOn;
    if (!told) {
      const signedBefore = publicText(deriveKeys(readSecret(secretPath(dataDir))).signing);
      entryWriter(database)("rekeyed", "", JSON.stringify({ signedBefore, signedFromNowOn }));
    }
    const head = HeadFile.open(join(dataDir, "audit.head"), keys.head);
    for (const entry of lastEntries(database, 2).toReversed()) head.write(entry);
    head.close();
  } finally {
    database.close();
  }
  changeKey(batchesPath(dataDir), readAuditKeys(dataDir).batches, keys.batches, "The database of files and batches");
  renameDurably(provenSecretPath(dataDir), secretPath(dataDir));
}
