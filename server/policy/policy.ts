import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { z } from "zod";
import { labels, patternLabels } from "../../classifiers/classifier.ts";
import type { JsonSchema } from "../../models/engine.ts";
import { quotaSchema } from "../audit/quotas.ts";
import { checkedYaml, readText } from "../checked-yaml.ts";
import { wrongWith } from "../guards/patterns.ts";
import { misfitOf, SchemaError } from "../json-schema.ts";
import { refusalCodes } from "../pipeline/refusal.ts";

const off = z.literal("off");
const share = z.number().min(0).max(1);
const personalData = z.union([
  off,
  z.strictObject({
    action: z.enum(["mask", "block", "shadow"]).default("mask"),
    labels: z.array(z.enum(labels)).default([...patternLabels]),
  }),
]);
const controlCharacters = z.union([off, z.strictObject({ run_max: z.int().min(1).default(8) })]);
const invisibleText = z.union([off, z.strictObject({})]);
const injection = z.union([
  off,
  z.strictObject({
    user: z.enum(["block", "shadow"]).default("block"),
    untrusted: z.enum(["quarantine", "block", "shadow"]).default("quarantine"),
    thresholds: z.strictObject({ user: share.optional(), document: share.optional(), tool: share.optional() }).prefault({}),
  }),
]);
const delicate = z.union([off, z.strictObject({ action: z.enum(["block", "shadow"]).default("shadow"), threshold: share.optional() })]);
const pattern = z
  .string()
  .min(1)
  .max(500)
  .superRefine((source, context) => {
    const wrong = wrongWith(source);
    if (wrong !== undefined) context.addIssue({ code: "custom", message: wrong });
  });
const topics = z
  .array(
    z
      .strictObject({
        label: z.string().regex(/^[A-Z][A-Z0-9_]{0,39}$/u, "is not a label: capitals, digits and underscores"),
        words: z.array(z.string().trim().min(2).max(100)).max(1_000).default([]),
        patterns: z.array(pattern).max(100).default([]),
        action: z.enum(["block", "mask", "shadow"]).default("block"),
      })
      .refine(({ words, patterns }) => words.length + patterns.length > 0, "has neither `words` nor `patterns`"),
  )
  .max(100)
  .default([]);
const activeContent = z.union([off, z.strictObject({ action: z.enum(["mask", "block", "shadow"]).default("mask") })]);
const links = z.union([
  off,
  z.strictObject({
    action: z.enum(["mask", "block", "shadow"]).default("mask"),
    hosts: z.array(z.string().regex(/^(?:\*\.)?[a-z0-9.-]{1,253}$/u, "is not a host name")).default([]),
  }),
]);

const toolRule = z.strictObject({
  names: z.array(z.string().regex(/^[a-zA-Z0-9_*-]{1,64}$/u, "is not a function's name, or a pattern of names with `*`")).min(1),
  action: z.enum(["allow", "deny"]).default("allow"),
  arguments: z.record(z.string(), z.unknown()).superRefine(isJsonSchema).optional(),
  confirm: z.enum(["never", "after_finding", "after_untrusted", "always"]).default("never"),
  restore: z.boolean().default(false),
});

/** The shape of a policy file; `policies/default.yaml` documents every key. */
export const policySchema = z.strictObject({
  /** Callers that another policy judges. */
  identities: z
    .array(z.strictObject({ names: z.array(z.string().min(1).max(100)).min(1), policy: z.string().min(1) }))
    .max(100)
    .default([]),
  /** What each caller under this policy may use. */
  quota: z.union([off, quotaSchema]).default("off"),
  attempts_max: z.int().min(1).max(5).default(2),
  input: z
    .strictObject({
      tokens_max: z.int().min(1).max(1_000_000).default(8_192),
      control_characters: controlCharacters.prefault({}),
      injection: injection.prefault({}),
      invisible_text: invisibleText.prefault({}),
      repetition: z.union([off, z.strictObject({ repeats_max: z.int().min(2).default(200) })]).prefault({}),
      topics,
      delicate: delicate.prefault({}),
      personal_data: personalData.prefault({}),
    })
    .prefault({}),
  output: z
    .strictObject({
      /** `segments` releases text as soon as nothing can become part of a match; `whole` judges the finished answer. */
      release: z.enum(["segments", "whole"]).default("segments"),
      control_characters: controlCharacters.prefault({}),
      invisible_text: invisibleText.prefault({}),
      canary: z.union([off, z.strictObject({})]).prefault({}),
      repetition: z.union([off, z.strictObject({ repeats_max: z.int().min(2).default(20) })]).prefault({}),
      topics,
      active_content: activeContent.prefault({}),
      links: links.prefault({}),
      delicate: delicate.prefault({}),
      personal_data: personalData.prefault({}),
    })
    .prefault({}),
  /** What the operator says to every model call, before the caller's own messages. */
  prompt: z
    .strictObject({
      system: z.string().max(20_000).default(""),
      examples: z
        .array(z.strictObject({ user: z.string().min(1).max(20_000), assistant: z.string().min(1).max(20_000) }))
        .max(20)
        .default([]),
    })
    .prefault({}),
  /** What callers read when a guard says no, by its code. */
  sentences: z.partialRecord(z.enum(refusalCodes), z.string().min(1).max(500)).default({}),
  /** Which functions an answer may call. */
  tools: z
    .strictObject({ default: z.enum(["allow", "deny"]).default("allow"), rules: z.array(toolRule).max(200).default([]) })
    .prefault({}),
  audit: z.strictObject({ text: z.enum(["hmac", "encrypted"]).default("hmac") }).prefault({}),
});

function isJsonSchema(value: JsonSchema, context: z.RefinementCtx): void {
  try {
    misfitOf(value);
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    context.addIssue({ code: "custom", message: error.message });
  }
}

/** What a policy says, without where it stands. */
export type PolicyRules = z.infer<typeof policySchema>;

export interface Policy extends PolicyRules {
  readonly name: string;
  /** Of the file. */
  readonly sha256: string;
}

/** Throws when a key is wrong, naming every one. */
export function readPolicy(path: string): Policy {
  const text = readText(path);
  return {
    ...checkedYaml(path, text, policySchema),
    name: basename(path, ".yaml"),
    sha256: createHash("sha256").update(text).digest("hex"),
  };
}

/** What a configuration's policy names for some callers. */
export interface NamedPolicy {
  readonly names: readonly string[];
  readonly file: string;
  readonly policy: Policy;
}

/** A policy and all that it names. Throws when one of them is missing or wrong. */
export function readPolicies(path: string, read = readPolicy): { readonly main: Policy; readonly named: readonly NamedPolicy[] } {
  const main = read(path);
  const named = main.identities.map(({ names, policy: name }): NamedPolicy => {
    const file = resolve(dirname(path), name);
    if (!existsSync(file)) throw new Error(`${path} names the policy ${name}, and there is no ${file}.`);
    const policy = read(file);
    if (policy.identities.length > 0) throw new Error(`${file}: only the policy that sallyport.yaml names has \`identities\`.`);
    return { names, file, policy };
  });
  return { main, named };
}
