/**
 * Run inside a gap: calls the appliance with the stock SDK until the count is reached, or a line comes on standard input; then once for everything that a
 * library may want to look up. Prints what became of the calls.
 */
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

/** Names, addresses, schemas, pictures and styles of the world, in everything that the service reads with a library of others. */
const world =
  "Write to kim.lee@shop.example.co.uk or see https://www.shop.example.co.uk/a?q=b, IBAN DE89 3704 0044 0532 0130 00, +44 20 7946 0958.";
const files: Record<string, string> = {
  "a.html": `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd"><base href="https://shop.example.co.uk/"><link rel="stylesheet" href="https://shop.example.co.uk/a.css"><img src="https://shop.example.co.uk/a.png"><script src="//shop.example.co.uk/a.js"></script><p>${world}</p>`,
  "a.md": `![a](https://shop.example.co.uk/a.png)\n\n${world}`,
  "a.eml": `From: kim@shop.example.co.uk\nTo: lee@shop.example.co.uk\nSubject: a\nContent-Type: message/external-body; access-type=URL; URL="https://shop.example.co.uk/a"\n\n${world}`,
  "a.json": JSON.stringify({ $schema: "https://json-schema.org/draft/2020-12/schema", $ref: "https://shop.example.co.uk/a.json", world }),
};
const types: Record<string, string> = { html: "text/html", md: "text/markdown", eml: "message/rfc822", json: "application/json" };
const schema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  $id: "https://shop.example.co.uk/a.json",
  type: "object",
  properties: { mail: { type: "string" } },
  required: ["mail"],
  additionalProperties: false,
};

async function lookUps(): Promise<void> {
  const parts = Object.entries(files).map(([filename, text]) => {
    const type = types[filename.split(".")[1] ?? ""];
    return { type: "file" as const, file: { filename, file_data: `data:${type};base64,${Buffer.from(text).toString("base64")}` } };
  });
  const messages = [{ role: "user" as const, content: [...parts, { type: "text" as const, text: world }] }];
  const response_format = { type: "json_schema" as const, json_schema: { name: "a", strict: true, schema } };
  await client.post("/guard/check", { body: { input: messages } });
  await client.chat.completions.create({ messages, max_tokens: 4 } as never);
  await client.chat.completions.create({ messages: [{ role: "user", content: world }], max_tokens: 8, response_format } as never);
  await client.embeddings.create({ model: "all-minilm-l6-v2", input: world });
  await client.moderations.create({ input: world });
}

await Promise.all(Array.from({ length: Number(side) }, one));
if (!stopped) await lookUps().catch((error: Error) => failed.push(error.message));
console.log(JSON.stringify({ answered, failed, longestMs }));
process.exit(0);
