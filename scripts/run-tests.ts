/** `npm test`: fetches the default model, runs every test file (or those named), and closes with how many passed and failed. */
import { globSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import Mocha from "mocha";
import { readConfig } from "../server/config.ts";
import { fetchModel } from "./commands/models.ts";
import { told } from "./failure.ts";
import { stopSignal } from "./stop-signal.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);
const { modelsDir } = readConfig({});
const stop = stopSignal();
try {
  await fetchModel("smollm2-135m-instruct", modelsDir, stop);
} catch (error) {
  console.error(told(error));
  process.exit(1);
}
stop.addEventListener("abort", () => process.exit(130));

const mocha = new Mocha({ timeout: 30_000, forbidOnly: true });
const named = process.argv.slice(2);
mocha.files = (named.length > 0 ? named : globSync("test/*.test.ts").toSorted()).map((file) => resolve(root, file));
await mocha.loadFilesAsync();
const runner = mocha.run((failures) => {
  const { passes = 0, pending = 0 } = runner.stats ?? {};
  console.log(`${passes} passed, ${failures} failed${pending > 0 ? `, ${pending} skipped` : ""}`);
  process.exitCode = failures > 0 ? 1 : 0;
});
