import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import { Agent, type Dispatcher, request } from "undici";
import { initAuthority, issueClient } from "../../certs/authority.ts";
import type { Role } from "../../certs/identity.ts";
import type { Classifiers } from "../../classifiers/classifier.ts";
import { EchoEngine } from "../../models/echo-engine.ts";
import type { Engine } from "../../models/engine.ts";
import { startAppliance } from "../../server/appliance.ts";
import { createAuditSecret } from "../../server/audit/keys.ts";
import { type Config, readConfig } from "../../server/config.ts";
import type { Egress } from "../../server/egress.ts";
import { Events } from "../../server/events.ts";
import { testClassifiers } from "./classifiers.ts";
import { scratchDir } from "./scratch.ts";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** A `sallyport.yaml` whose service loads no language model. */
export const echoConfig = "models: [{ id: echo, engine: echo }]\n";

export interface Reply {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData["headers"];
  readonly text: string;
  /** Parsed when it is JSON. */
  readonly body: Json;
}

/** Deep enough for what the tests look at. */
// biome-ignore lint/suspicious/noExplicitAny: a JSON body whose shape the test itself is about
export type Json = any;

/** A whole appliance in this process, on a port and with data of its own. Ending it ends its engines. */
export interface TestAppliance extends AsyncDisposable {
  readonly url: string;
  readonly config: Config;
  readonly certsDir: string;
  agent(name?: string): Agent;
  call(method: string, path: string, body?: unknown, options?: CallOptions): Promise<Reply>;
  openai(name?: string): OpenAI;
}

export interface CallOptions {
  /** Whose certificate. Default: app */
  readonly as?: string;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
}

interface Settings {
  /** With a `sallyport.yaml`, which counts. Default: a new one */
  readonly dataDir?: string;
  /** The text of a policy file. Default: the default policy */
  readonly policy?: string;
  readonly engines?: readonly Engine[];
  /** Default: those of the repository */
  readonly classifiers?: Classifiers;
  readonly config?: (config: Config) => Config;
  /** Default: refused */
  readonly egress?: Egress;
}

export async function startTestAppliance({
  dataDir = prepareData(),
  policy,
  engines = [new EchoEngine("echo")],
  classifiers,
  config: change = (same) => same,
  egress = { refused: true, ways: [] },
}: Settings = {}): Promise<TestAppliance> {
  const own = join(dataDir, "sallyport.yaml");
  const policyFile = join(dataDir, "policy.yaml");
  if (policy !== undefined) writeFileSync(policyFile, policy);
  const defaults = readConfig({ SALLYPORT_DATA: dataDir, PORT: "0", ...(existsSync(own) ? { SALLYPORT_CONFIG: own } : {}) });
  const config = change({ ...defaults, ...(policy === undefined ? {} : { policy: policyFile }) });
  const models = { engines, classifiers: classifiers ?? (await testClassifiers()) };
  await using opened = new AsyncDisposableStack();
  for (const engine of engines) opened.use(engine);
  const appliance = opened.use(await startAppliance(config, models, egress, new Events("silent")));
  const certsDir = join(dataDir, "certs");
  const agents = new Map<string, Agent>();
  const agent = (name = "app"): Agent => {
    const known = agents.get(name) ?? clientAgent(certsDir, name);
    agents.set(name, known);
    return known;
  };
  const owned = opened.move();
  return {
    url: appliance.url,
    config,
    certsDir,
    agent,
    call: (method, path, body, { as, headers = {}, signal } = {}) =>
      send(`${appliance.url}${path}`, method, body, { dispatcher: agent(as), headers, ...(signal ? { signal } : {}) }),
    openai: (name) =>
      new OpenAI({ baseURL: `${appliance.url}/v1`, apiKey: "unused", maxRetries: 0, fetchOptions: { dispatcher: agent(name) } }),
    async [Symbol.asyncDispose]() {
      await owned.disposeAsync();
      await Promise.all([...agents.values()].map((one) => one.destroy()));
    },
  };
}

/** A data directory with keys, a CA, and clients app, operator and auditor; with `config` as its `sallyport.yaml`, if there is one. */
export function prepareData(config?: string): string {
  const dataDir = scratchDir();
  if (config !== undefined) writeFileSync(join(dataDir, "sallyport.yaml"), config);
  createAuditSecret(dataDir);
  const certsDir = join(dataDir, "certs");
  mkdirSync(certsDir, { recursive: true });
  initAuthority(certsDir, ["localhost", "127.0.0.1", "::1"]);
  for (const role of ["app", "operator", "auditor"] satisfies Role[]) issueClient(certsDir, role, role);
  return dataDir;
}

export function clientAgent(certsDir: string, name: string): Agent {
  const read = (...path: string[]): string => readFileSync(join(certsDir, ...path), "utf8");
  return new Agent({
    connect: { ca: read("ca.pem"), cert: read("clients", name, "cert.pem"), key: read("clients", name, "key.pem") },
  });
}

export async function send(
  url: string,
  method: string,
  body: unknown,
  { dispatcher, headers = {}, signal }: { dispatcher: Dispatcher; headers?: Record<string, string>; signal?: AbortSignal },
): Promise<Reply> {
  const response = await request(url, {
    method: method as Dispatcher.HttpMethod, // tests also try methods that don't exist
    dispatcher,
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body) }),
    ...(signal ? { signal } : {}),
  });
  const text = await response.body.text();
  const isJson = String(response.headers["content-type"]).startsWith("application/json");
  return { status: response.statusCode, headers: response.headers, text, body: isJson ? JSON.parse(text) : undefined };
}

/** The JSON events of a streamed answer, without `[DONE]`. */
export function eventsOf(text: string): Json[] {
  return text
    .split("\n\n")
    .filter((event) => event.startsWith("data: ") && event !== "data: [DONE]")
    .map((event) => JSON.parse(event.slice("data: ".length)));
}

/** What a streamed answer says. */
export const contentOf = (text: string): string =>
  eventsOf(text)
    .map((one) => one.choices?.[0]?.delta.content ?? "")
    .join("");

const story =
  "In spring the river rises and the ferry stops for a week or two, so the baker in the village sells his bread from a window on the north side of the market. " +
  "Children walk to school over the old bridge, and in the evening the lamps along the water are lit one after the other until the whole street is bright again.";

/** So many words of a harmless story. */
export function prose(count: number): string {
  const words = story.split(" ");
  return Array.from({ length: count }, (_, index) => words[index % words.length]).join(" ");
}

export const userSays = (content: string): { messages: object[] } => ({ messages: [{ role: "user", content }] });
