import { type Bucket, decode, measureBucket } from "../bench/classifiers.ts";
import { readConfig } from "../server/config.ts";
import { reportFile, writeReport } from "./bench-report.ts";
import { fetchModels } from "./commands/setup.ts";
import { openConfiguredClassifiers, openEngines } from "./engines.ts";
import { host } from "./host.ts";
import { step } from "./progress.ts";
import { Stopped, stopSignal } from "./stop-signal.ts";

interface Options {
  readonly quick: boolean;
  readonly out?: string | undefined;
}

type Model = "idle" | "decoding";
type Row = Bucket & { readonly model: Model };

/** `bench classifiers`: what judging costs, with the language model idle and decoding. Returns the exit status. */
export async function benchClassifiers({ quick, out: given }: Options): Promise<number> {
  const out = reportFile("classifiers", given);
  const plan = quick ? { words: [24, 96], texts: 10 } : { words: [24, 96, 400, 1_600, 4_000], texts: 60 };
  const stop = stopSignal();
  try {
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
    const result = {
      made: new Date().toISOString(),
      command: "npx sallyport bench classifiers",
      model: config.models[0]?.id,
      classifiers: {
        ...config.classifiers,
        injection: classifiers.injection.model.id,
        delicate: classifiers.delicate.model.id,
        pii: classifiers.pii.model.id,
      },
      plan,
      host: host(),
      /** Of this process, with the classifiers in every worker; the language model is in another. */
      peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
      tokensPerSecondDecodedMeanwhile: decoded,
      rows,
    };
    writeReport(out, result);
    console.log(
      `${table(rows)}\n\npeak memory ${Math.round(result.peakMemoryBytes / 1e6)} MB; ${decoded} tokens/s decoded meanwhile\n${out}`,
    );
    return 0;
  } catch (error) {
    throw stop.aborted ? new Stopped("Stopped before all was measured; nothing was written.") : error;
  }
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
