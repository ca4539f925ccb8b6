import { type Bucket, decode, measureBucket } from "../../bench/classifiers.ts";
import { readConfig } from "../../server/config.ts";
import { fetchModels } from "../commands/setup.ts";
import { openConfiguredClassifiers, openEngines } from "../engines.ts";
import { step } from "../progress.ts";
import type { Bench, Measurement } from "./benchmark.ts";

type Model = "idle" | "decoding";
type Row = Bucket & { readonly model: Model };

/** `bench classifiers`: what judging costs, with the language model idle and decoding. */
export async function benchClassifiers({ quick = false }: { readonly quick?: boolean | undefined }, { stop }: Bench): Promise<Measurement> {
  const plan = quick ? { words: [24, 96], texts: 10 } : { words: [24, 96, 400, 1_600, 4_000], texts: 60 };
  const config = readConfig();
  await fetchModels(config, stop);
  await using classifiers = await openConfiguredClassifiers(config);
  await using loaded = new AsyncDisposableStack();
  const engines = await step("Loading the models", () => openEngines(config, stop));
  for (const one of engines) loaded.use(one);
  const [engine] = engines;
  const rows: Row[] = [];
  let decoded = 0;
  await step("Measuring", async (progress) => {
    await measureBucket(classifiers, 96, 5, 1, stop); // what only the first texts pay is not measured
    for (const model of ["idle", "decoding"] as const) {
      const ended = new AbortController();
      const speed = model === "decoding" && engine !== undefined ? decode(engine, ended.signal) : undefined;
      try {
        for (const [index, words] of plan.words.entries()) {
          progress(`texts of ${words} words, language model ${model}`);
          const count = Math.max(5, Math.min(plan.texts, Math.round((plan.texts * 200) / words)));
          rows.push({ ...(await measureBucket(classifiers, words, count, 7 + index + rows.length, stop)), model });
        }
      } finally {
        ended.abort();
        decoded = (await speed) ?? decoded;
      }
    }
  });
  const peakMemoryBytes = process.resourceUsage().maxRSS * 1024;
  const report = {
    model: config.models[0]?.id,
    classifiers: {
      ...config.classifiers,
      injection: classifiers.injection.model.id,
      delicate: classifiers.delicate.model.id,
      pii: classifiers.pii.model.id,
    },
    plan,
    /** Of this process, with the classifiers in every worker; the language model is in another. */
    peakMemoryBytes,
    tokensPerSecondDecodedMeanwhile: decoded,
    rows,
  };
  const memory = `peak memory ${Math.round(peakMemoryBytes / 1e6)} MB; ${decoded} tokens/s decoded meanwhile`;
  return { report, table: `${table(rows)}\n\n${memory}` };
}

function table(rows: readonly Row[]): string {
  const line = (cells: readonly (string | number)[]): string => cells.map((cell) => String(cell).padStart(11)).join("");
  return [
    line(["model", "tokens", "all p50 ms", "p95", "p99", "injection", "delicate", "pii", "texts/s"]),
    ...rows.map(({ model, tokens, all, each, textsPerSecond }) =>
      line([model, tokens, all.p50, all.p95, all.p99, each.injection.p50, each.delicate.p50, each.pii.p50, textsPerSecond]),
    ),
  ].join("\n");
}
