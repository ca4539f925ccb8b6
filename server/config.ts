import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { roles } from "../certs/identity.ts";
import { gpuChoices } from "../models/engine.ts";
import { checkedYaml, readText } from "./checked-yaml.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

const id = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/u, "is not a model id: letters, digits, dots, dashes and underscores");
const count = (max: number) => z.int().min(1).max(max);

const modelSchema = z
  .strictObject({
    id,
    /** Absent: llama.cpp, with the catalogue's model of this id. */
    engine: z.literal("echo").optional(),
    /** `start`: with the service; `use`: by the first call. Defaults to `start` for the first model, and `use` for the others. */
    load: z.enum(["start", "use"]).optional(),
    /** Pause before each word. Defaults to 0. */
    token_delay_ms: z.int().min(0).max(10_000).optional(),
  })
  .refine(({ engine, token_delay_ms }) => engine === "echo" || token_delay_ms === undefined, {
    path: ["token_delay_ms"],
    error: "goes with `engine: echo` only",
  })
  .refine(({ engine, load }) => engine === undefined || load === undefined, {
    path: ["load"],
    error: "goes with models of the catalogue only: the echo engine loads nothing",
  });

const identitySchema = z
  .strictObject({
    san: z.string().min(3).max(300).optional(),
    subject: z.string().min(3).max(300).optional(),
    role: z.enum(roles),
    /** `*`: what `*` stands for in the pattern. */
    name: z.string().min(1).max(100).default("*"),
  })
  .refine(({ san, subject }) => (san === undefined) !== (subject === undefined), {
    path: ["san"],
    error: "give `san` or `subject`, one of them",
  })
  .refine(({ san = "", subject = "" }) => (san + subject).split("*").length <= 2, { path: ["san"], error: "has more than one `*`" })
  .refine(({ san = "", subject = "", name }) => !name.includes("*") || (san + subject).includes("*"), {
    path: ["name"],
    error: "needs a text of its own, since the pattern has no `*`",
  });

/** The shape of `sallyport.yaml`; the file in the repository documents every key. */
export const configSchema = z.strictObject({
  listen: z.strictObject({ host: z.string().default("127.0.0.1"), port: z.int().min(0).max(65_535).default(8443) }).prefault({}),
  tls: z
    .strictObject({
      version_min: z.enum(["TLSv1.3", "TLSv1.2"]).default("TLSv1.3"),
      names: z.array(z.string().min(1)).default(["localhost", "127.0.0.1", "::1"]),
      /** Who the certificates of other CAs (`certs/trust/`) name. */
      identities: z.array(identitySchema).max(100).default([]),
      expired_streams: z.enum(["finish", "end"]).default("finish"),
    })
    .prefault({}),
  data: z.string().min(1).optional(),
  models: z
    .array(modelSchema)
    .min(1)
    .max(16)
    .default([{ id: "smollm2-135m-instruct" }]),
  policy: z.string().min(1).default("default.yaml"),
  engine: z
    .strictObject({
      parallel: count(64).default(8),
      context_tokens: count(1_048_576).default(4096),
      threads: z.int().min(0).max(512).default(0),
      gpu: z.enum(gpuChoices).default("auto"),
      gpu_layers: z.union([z.literal("auto"), z.int().min(0).max(1_000)]).default("auto"),
      queue_max: z.int().min(0).max(10_000).default(64),
      prefill_step_ms: count(10_000).default(300),
      prefill_share: z.number().min(0.1).max(1).default(0.9),
      stall_timeout_ms: z.int().min(1_000).max(3_600_000).default(60_000),
      memory_bytes_max: z.union([z.literal("auto"), z.int().min(1)]).default("auto"),
      cache_bytes_max: z.int().min(0).default(268_435_456),
    })
    .prefault({}),
  classifiers: z
    .strictObject({
      device: z.enum(["cpu", "cuda", "webgpu"]).default("cpu"),
      workers: z.int().min(0).max(64).default(0),
      queue_max: count(10_000).default(256),
    })
    .prefault({}),
  limits: z
    .strictObject({
      body_bytes_max: count(67_108_864).default(1_048_576),
      json_depth_max: count(128).default(32),
      messages_max: count(10_000).default(1_000),
      connections_max: count(100_000).default(1_000),
      answer_timeout_ms: count(86_400_000).default(600_000),
      shutdown_grace_ms: z.int().min(0).max(600_000).default(1_000),
    })
    .prefault({}),
  batches: z
    .strictObject({
      file_bytes_max: count(1_073_741_824).default(33_554_432),
      lines_max: count(1_000_000).default(50_000),
      caller_bytes_max: count(1_099_511_627_776).default(268_435_456),
      retention_days: count(365).default(30),
    })
    .prefault({}),
});

/** What `sallyport.yaml` and the environment say, checked together, with absolute paths. */
export interface Config extends Omit<z.infer<typeof configSchema>, "data"> {
  readonly dataDir: string;
  readonly modelsDir: string;
  /** Absolute path of the policy file. */
  readonly policy: string;
  /** Absolute path of the file that was read; undefined when there is none and everything is default. */
  readonly source: string | undefined;
}

/** Reads `SALLYPORT_CONFIG`, or `sallyport.yaml` in the repository; `PORT`, `SALLYPORT_HOST`, `SALLYPORT_DATA` and `SALLYPORT_MODELS` win over the file. */
export function readConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const named = env.SALLYPORT_CONFIG;
  const path = named ? resolve(named) : resolve(root, "sallyport.yaml");
  if (named && !existsSync(path)) throw new Error(`SALLYPORT_CONFIG names ${path}, and there is no such file.`);
  const source = existsSync(path) ? path : undefined;
  const { data, ...values } = checked(source);
  const from = dirname(source ?? resolve("sallyport.yaml"));
  return {
    ...values,
    listen: { host: env.SALLYPORT_HOST || values.listen.host, port: portOf(env.PORT) ?? values.listen.port },
    dataDir: env.SALLYPORT_DATA ? resolve(env.SALLYPORT_DATA) : data === undefined ? resolve("data") : resolve(from, data),
    modelsDir: env.SALLYPORT_MODELS ? resolve(env.SALLYPORT_MODELS) : resolve(root, "models"),
    policy: policyPath(values.policy, from),
    source,
  };
}

function checked(source: string | undefined): z.infer<typeof configSchema> {
  if (source === undefined) return configSchema.parse({});
  const config = checkedYaml(source, readText(source), configSchema);
  const ids = config.models.map((model) => model.id);
  const twice = ids.find((one, index) => ids.indexOf(one) !== index);
  if (twice !== undefined) throw new Error(`${source} names the model ${twice} twice.`);
  return config;
}

function portOf(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error(`PORT is ${text}; it must be a whole number from 0 to 65535.`);
  return port;
}

function policyPath(policy: string, from: string): string {
  const candidates = [resolve(from, policy), resolve(root, "policies", policy)];
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`The policy ${policy} is neither at ${candidates.join(" nor at ")}.`);
  return found;
}
