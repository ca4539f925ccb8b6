import { join } from "node:path";
import { parseArgs } from "node:util";
import { readConfig } from "../../server/config.ts";
import { serviceUrl } from "../../server/service-url.ts";
import { ApiClient } from "../api-client.ts";
import { type Command, UsageError } from "../command.ts";
import { numberFrom, wholeFrom } from "../option-number.ts";
import { stopSignal } from "../stop-signal.ts";

export const call: Command = {
  usage: `Usage: npx sallyport call PROMPT [options] | call --ready

Calls the running appliance over mutual TLS, as an application would, and prints the answer while it is written.

  --system TEXT      system message
  --model ID         default: the first configured model
  --max-tokens N     most tokens to answer with. Default: 512
  --temperature T    0 to 2. Default: the model's
  --seed N           a whole number from 0: the same seed and prompt give the same answer
  --as NAME          whose certificate, of DATA/certs/clients. Default: app
  --url URL          default: where the service on this data directory listens
  --json             print every chunk as a JSON line instead
  --ready            no prompt: ask /readyz, print its checks; exit status 1 unless everything is ready`,

  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        system: { type: "string" },
        model: { type: "string" },
        "max-tokens": { type: "string", default: "512" },
        temperature: { type: "string" },
        seed: { type: "string" },
        as: { type: "string", default: "app" },
        url: { type: "string" },
        json: { type: "boolean", default: false },
        ready: { type: "boolean", default: false },
      },
    });
    const prompt = positionals[0];
    if (positionals.length !== (values.ready ? 0 : 1))
      throw new UsageError('Give one prompt, in quotes: `npx sallyport call "Say hello."`.');
    const config = readConfig();
    const url = values.url ?? serviceUrl(config);
    if (!/^https:\/\/[^/]+\/?$/u.test(url) || !URL.canParse(url))
      throw new UsageError(`--url ${url} is not an address such as https://127.0.0.1:8443.`);
    const { temperature, seed } = values;
    const body = {
      ...(values.model === undefined ? {} : { model: values.model }),
      messages: [...(values.system === undefined ? [] : [{ role: "system", content: values.system }]), { role: "user", content: prompt }],
      stream: true,
      max_tokens: wholeFrom("--max-tokens", values["max-tokens"], 1),
      ...(temperature === undefined ? {} : { temperature: numberFrom("--temperature", temperature, 0, 2) }),
      ...(seed === undefined ? {} : { seed: wholeFrom("--seed", seed, 0) }),
    };
    const client = ApiClient.installed(
      url.replace(/\/$/u, ""),
      join(config.dataDir, "certs"),
      values.as,
      values.url === undefined ? config.tls.names : [],
    );
    try {
      return values.ready ? await askReady(client) : await print(client, body, values.json);
    } finally {
      client.close();
    }
  },
};

async function askReady(client: ApiClient): Promise<number> {
  const { status, body } = await client.json("GET", "/readyz");
  console.log(JSON.stringify(body));
  return status === 200 ? 0 : 1;
}

async function print(client: ApiClient, body: object, json: boolean): Promise<number> {
  const stop = stopSignal();
  let inLine = false;
  const write = (text: string): void => {
    process.stdout.write(text);
    inLine ||= text !== "";
  };
  try {
    for await (const chunk of client.stream("/v1/chat/completions", body, stop)) {
      if (json) console.log(JSON.stringify(chunk));
      else write(textOf(chunk.choices[0]));
    }
    return 0;
  } catch (error) {
    if (stop.aborted) return 1;
    throw error;
  } finally {
    if (inLine) process.stdout.write("\n");
  }
}

function textOf(choice: { delta: { content?: string }; finish_reason: string | null } | undefined): string {
  const text = choice?.delta.content ?? "";
  if (choice?.finish_reason === "content_filter") return `${text}\n[ended by a guard]`;
  return choice?.finish_reason === "length" ? `${text} […]` : text;
}
