/** Rows that are HTML, as `server/documents/` reads such a file: node classifiers/training/as-read.ts FILE.jsonl … > data/injection_read.jsonl. Pairs stay pairs. */
import { readFileSync } from "node:fs";
import { readDocument } from "../../server/documents/read-document.ts";

for (const file of process.argv.slice(2)) {
  for (const line of readFileSync(file, "utf8").split("\n").filter(Boolean)) {
    const row = JSON.parse(line);
    if (row.origin === "user" || !/<(?:html|body|head|div|table|ul|p|h[1-6]|td|a)\b[^>]*>/iu.test(row.text)) continue;
    const { passage } = await readDocument({ mediaType: "text/html", bytes: Buffer.from(row.text) });
    if (passage.text === row.text) continue;
    console.log(JSON.stringify({ ...row, text: passage.text, pair: row.pair === null ? null : `read-${row.pair}`, generator: `${row.generator}, as server/documents reads it` }));
  }
}
