import { join } from "node:path";
import { openAuditDatabase } from "../../server/audit/database.ts";
import { readAuditKeys } from "../../server/audit/keys.ts";
import type { Json } from "./appliance.ts";

/** The entries of a data directory's log, decrypted, beside a running service. */
export function entriesOf(dataDir: string): { kind: string; call: string; body: Json }[] {
  const database = openAuditDatabase(join(dataDir, "audit.db"), readAuditKeys(dataDir).database, { readonly: true });
  try {
    return database
      .prepare<[], { kind: string; call: string; body: string }>("SELECT kind, call, body FROM entries ORDER BY seq")
      .all()
      .map((row) => ({ ...row, body: JSON.parse(row.body) }));
  } finally {
    database.close();
  }
}
