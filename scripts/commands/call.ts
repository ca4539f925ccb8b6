import { join } from "node:path";
import { parseArgs } from "node:util";
import { readConfig } from "../../server/config.ts";
import { ApiClient } from "../api-client.ts";
import { type Command, UsageError } from "../command.ts";
import { stopSignal } from "../stop-signal.ts";

export const call: Command = {
  summary: "send a prompt and stream the answer to the terminal",
  usage: `Usage: npx sallyport call PROMPT [options] | call --ready

Calls the running appliance over mutual TLS, as an application would, and prints the answer while it is written.

  --system TEXT      system message
  --model ID         default: the first configured model
  --max-tokens N     most tokens to answer with
  --temperature T    0 to 2
  --seed N
  --as NAME          whose certificate, of DATA/certs/clients. Default: app
  --url URL          default: https://127.0.0.1:PORT, from sallyport.yaml and PORT
  --json             print every chunk as a JSON line instead
  --ready            no prompt: ask /readyz, print its checks; exit status 1 unless everything is ready`,

  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        system: { type: "string" },
        model: { type: "string" },
        "max-tokens": { type: "string" },
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
    const { dataDir, listen } = readConfig();
    const url = values.url ?? `https://127.0.0.1:${listen.port}`;
    if (!/^https:\/\/[^/]+\/?$/u.test(url) || !URL.canParse(url))
      throw new UsageError(`--url ${url} is not an address such as https://127.0.0.1:8443.`);
    const client = new ApiClient(url.replace(/\/$/u, ""), join(dataDir, "certs"), values.as);
    if (values.ready) return await askReady(client);
    const messages = [
      ...(values.system === undefined ? [] : [{ role: "system", content: values.system }]),
      { role: "user", content: prompt },
    ];
    const body = {
      ...(values.model === undefined ? {} : { model: values.model }),
      messages,
      stream: true,
      ...numbers({ max_tokens: values["max-tokens"], temperature: values.temperature, seed: values.seed }),
    };
    const stop = stopSignal();
    try {
      for await (const chunk of client.stream("/v1/chat/completions", body, stop)) {
        if (values.json) console.log(JSON.stringify(chunk));
        else process.stdout.write(chunk.choices[0]?.delta.content ?? "");
        if (!values.json && chunk.choices[0]?.finish_reason === "content_filter") process.stdout.write("\n[ended by a guard]");
        if (!values.json && chunk.choices[0]?.finish_reason === "length") process.stdout.write(" […]");
      }
      if (!values.json) process.stdout.write("\n");
      return 0;
    } catch (error) {
      if (!stop.aborted) throw error;
      process.stdout.write("\n");
      return 1;
    } finally {
      client.close();
    }
  },
};

async function askReady(client: ApiClient): Promise<number> {
  try {
    const { status, body } = await client.json("GET", "/readyz");
    console.log(JSON.stringify(body));
    return status === 200 ? 0 : 1;
  } finally {
    client.close();
  }
}

function numbers(texts: Record<string, string | undefined>): Record<string, number> {
  const given = Object.entries(texts).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return Object.fromEntries(
    given.map(([key, text]) => {
      const value = Number(text);
      if (text.trim() === "" || !Number.isFinite(value)) throw new UsageError(`--${key.replace("_", "-")} takes a number, not "${text}".`);
      return [key, value];
    }),
  );
}
