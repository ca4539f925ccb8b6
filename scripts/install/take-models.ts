/** `node take-models.ts FROM TO`: puts the models that a slot brings beside those an operator added. What is there stays. */
import { copyFileSync, existsSync, linkSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { addEntry, type CatalogueEntry, readCatalogue } from "../../models/catalogue.ts";

const [from = "", to = ""] = process.argv.slice(2);
try {
  if (!existsSync(join(to, "catalogue.yaml"))) place("catalogue.yaml");
  const known = new Map(readCatalogue(to).map((entry) => [entry.id, entry]));
  for (const entry of readCatalogue(from)) take(entry, known.get(entry.id));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}

function take(entry: CatalogueEntry, known: CatalogueEntry | undefined): void {
  if (known === undefined) addEntry(to, entry);
  else if (known.sha256 !== entry.sha256)
    throw new Error(`${join(to, "catalogue.yaml")} has another model by the name ${entry.id}: give it another id.`);
  const has = statSync(join(to, entry.file), { throwIfNoEntry: false })?.size;
  if (existsSync(join(from, entry.file)) && has !== entry.bytes) place(entry.file);
}

/** Whole or not at all; the same blocks where both are on one disk. */
function place(name: string): void {
  const partial = join(to, `${name}.partial`);
  rmSync(partial, { force: true });
  try {
    if (name === "catalogue.yaml") copyFileSync(join(from, name), partial);
    else linkSync(join(from, name), partial);
  } catch {
    copyFileSync(join(from, name), partial);
  }
  renameSync(partial, join(to, name));
}
