import { parseArgs } from "node:util";
import { type Bench, type Measurement, runBenchmark } from "../bench/benchmark.ts";
import { type Action, actionOf, type Command } from "../command.ts";

const options = {
  quick: { type: "boolean" },
  out: { type: "string" },
  against: { type: "string" },
  model: { type: "string" },
  ca: { type: "string" },
  cert: { type: "string" },
  key: { type: "string" },
  minutes: { type: "string" },
  requests: { type: "string" },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>["values"];

/** Each is loaded by itself: together they need most of what there is. */
const actions: Readonly<Record<string, Action<[values: Values, bench: Bench], Promise<Measurement>>>> = {
  answer: { options: ["quick", "out"], run: async (...given) => (await import("../bench/answer.ts")).benchAnswer(...given) },
  classifiers: { options: ["quick", "out"], run: async (...given) => (await import("../bench/classifiers.ts")).benchClassifiers(...given) },
  adversarial: { options: ["quick", "out"], run: async (...given) => (await import("../bench/adversarial.ts")).benchAdversarial(...given) },
  serve: {
    options: ["against", "model", "ca", "cert", "key", "quick", "out"],
    run: async (...given) => (await import("../bench/serve.ts")).benchServe(...given),
  },
  hostile: { options: ["quick", "out"], run: async (...given) => (await import("../bench/hostile.ts")).benchHostile(...given) },
  soak: { options: ["minutes", "requests", "out"], run: async (...given) => (await import("../bench/soak.ts")).benchSoak(...given) },
};

export const bench: Command = {
  usage: `Usage: npx sallyport bench [answer|classifiers|adversarial] [--quick] [--out FILE]
       npx sallyport bench serve --against URL [--model NAME] [--ca FILE] [--cert FILE --key FILE] [--quick] [--out FILE]
       npx sallyport bench hostile [--quick] [--out FILE]
       npx sallyport bench soak [--minutes N | --requests N] [--out FILE]

\`bench\`, or \`bench answer\`, starts the appliance twice on ports of its own, once with the configured policy and once with every guard off, both on one
loaded model, and calls them in turns over mutual TLS. Reports medians: time to first token (TTFT), time between tokens,
tokens a second of all streams, and the 99th percentile of /healthz meanwhile. Needs no running service, and touches no
data of one; on a busy machine the numbers mean little.

\`bench classifiers\` measures the classifiers alone: milliseconds a text through all three and through each, texts a second, by
length of text, with the language model idle and decoding; and the peak of memory.

\`bench adversarial\` takes attacks, and harmless twins of them, plain and in nine disguises, and reports how many of each the classifier of
injection flags, as they stand and with the disguise taken off.

\`bench serve\` measures this service, guards off, and any other OpenAI-compatible server in turns, with prompts of the same make: tokens a second
at 1, 2, 4 and 8 streams, and the time between pieces of two running answers while prompts of 2,000 tokens keep arriving.

\`bench soak\` runs the service as a process of its own, with eight identities that call side by side, each with a secret in its prompts and all with
common beginnings; prompts and answers are of any length, and a quarter of the callers leaves at a random moment. Exit status 1 when an answer held
another identity's secret, a place in the engine stayed held, a call was not settled in the log, or service or engine grew by more than 5 % once warm.

\`bench hostile\` runs the service as a process of its own, all guards of its policy on. Two answers of one identity run while another identity sends
what is made to be slow to judge: long lines, control characters, JSON of many nodes, encodings in encodings, texts that patterns trip over, forged
placeholders, many messages. By family, in turns with quiet: answers by status and code, the slowest of them, the time between pieces of the two
answers with and without, and by how much the service grew. Exit status 1 when an answer took longer than 2 seconds or the 99th percentile of that
time is more than 3 times as long: on a busy machine only the ratio means something.

  --minutes N  how long. Default: 30. Memory is judged from 10 minutes on
  --requests N so many calls instead, with short prompts and answers: many chances for a secret to cross
  --quick      one short round: less than a minute with the default model
  --out FILE   where the JSON goes. Default: bench/results/answer.json, classifiers.json, adversarial.json, serve.json, hostile.json or
               soak.json; in an installation in the current directory
  --against    base URL of the other server, without /v1; --ca is the CA of its certificate, --cert and --key are what it asks of clients
  --model      what it calls its model. Default: the first that it lists`,

  async run(args) {
    const { values, positionals } = parseArgs({ args, allowPositionals: true, options });
    const [name = "answer", ...more] = positionals;
    const action = actionOf("bench", actions, [name, ...more], values);
    return await runBenchmark(name, values.out, (bench) => action.run(values, bench));
  },
};
