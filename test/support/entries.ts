import { readingLog } from "../../server/audit/database.ts";
import type { Json } from "./appliance.ts";

/** The entries of a data directory's log, decrypted, beside a running service. */
export function entriesOf(dataDir: string): { kind: string; call: string; body: Json }[] {
  return readingLog(dataDir, (log) =>
    log
      .prepare<[], { kind: string; call: string; body: string }>("SELECT kind, call, body FROM entries ORDER BY seq")
      .all()
      .map((row) => ({ ...row, body: JSON.parse(row.body) })),
  );
}
