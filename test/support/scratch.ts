import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const dirs: string[] = [];
process.once("exit", () => {
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});

/** A directory that is gone when the tests are. */
export function scratchDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  dirs.push(dir);
  return dir;
}
