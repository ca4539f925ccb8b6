import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sha256Of } from "../../models/verify-file.ts";
import { factsIn, sumsIn } from "../bundle/members.ts";
import type { Diagnosis } from "./check.ts";

/** Whether every file that a bundle brought is still as it was signed. */
export async function files(root: string = fileURLToPath(new URL("../..", import.meta.url))): Promise<Diagnosis> {
  const list = join(root, "FILES");
  if (!existsSync(list)) return { state: "ok", detail: `${root} is not from a bundle: \`git status\` says what was changed` };
  const { version, commit } = factsIn(readFileSync(join(root, "BUNDLE"), "utf8"));
  const wrong: string[] = [];
  const sums = sumsIn(readFileSync(list, "utf8"));
  for (const [path, sum] of sums) {
    const file = join(root, path);
    if (!existsSync(file) || (await sha256Of(file)) !== sum) wrong.push(path);
  }
  if (wrong.length > 0)
    throw new Error(
      `${wrong.length} of ${sums.size} files are not as the bundle brought them (${wrong.slice(0, 5).join(", ")}): install the bundle again`,
    );
  return { state: "ok", detail: `${sums.size} files, SHA-256 as in the bundle of ${version}, commit ${commit}` };
}
