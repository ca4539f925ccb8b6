import type { Config } from "../../server/config.ts";
import { openConfiguredClassifiers } from "../engines.ts";
import type { Diagnosis } from "./check.ts";

export async function classifiers(config: Config): Promise<Diagnosis> {
  // Each thread would open every model, and one tests them.
  await using opened = await openConfiguredClassifiers({ ...config, classifiers: { ...config.classifiers, workers: 1 } });
  if (opened.notReady !== undefined)
    return { state: "fail", detail: `${opened.notReady} Restore classifiers/ from the repository or the bundle.` };
  const ids = [opened.injection, opened.delicate, opened.pii, opened.embedding].map(({ model }) => model.id);
  return { state: "ok", detail: `${ids.join(", ")}: SHA-256 as described, self-test passed on ${config.classifiers.device}` };
}
