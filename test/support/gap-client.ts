/** Run inside a gap: calls the appliance with the stock SDK until the count is reached, or a line comes on standard input. Prints what became of the calls. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { Agent } from "undici";

const [certsDir = "", count = "1", side = "1"] = process.argv.slice(2);
const read = (...path: string[]): string => readFileSync(join(certsDir, ...path), "utf8");
const connect = { ca: read("ca.pem"), cert: read("clients", "app", "cert.pem"), key: read("clients", "app", "key.pem") };
// While a new version starts, a connection waits in the listening socket.
const fetchOptions = { dispatcher: new Agent({ connect: { ...connect, timeout: 60_000 } }) };
const client = new OpenAI({ baseURL: "https://127.0.0.1:8443/v1", apiKey: "unused", maxRetries: 0, fetchOptions });

let asked = 0;
let [stopped, longestMs] = [false, 0];
const answered: string[] = [];
const failed: string[] = [];
process.stdin.once("data", () => {
  stopped = true;
});

async function one(): Promise<void> {
  while (!stopped && asked < Number(count)) {
    const number = ++asked;
    const startedMs = performance.now();
    try {
      const messages = [{ role: "user" as const, content: `Say the number ${number}.` }];
      const { id, choices } = await client.chat.completions.create({ messages, max_tokens: 4 } as never);
      if (choices[0]?.finish_reason) answered.push(id);
    } catch (error) {
      const { code, cause, message } = error as Error & { code?: string };
      failed.push(code ?? `${message} ${(cause as Error | undefined)?.cause ?? cause}`);
    }
    longestMs = Math.max(longestMs, performance.now() - startedMs);
  }
}

await Promise.all(Array.from({ length: Number(side) }, one));
console.log(JSON.stringify({ answered, failed, longestMs }));
process.exit(0);
