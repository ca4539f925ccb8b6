import { createHash } from "node:crypto";
import { basename } from "node:path";
import { z } from "zod";
import { patternLabels } from "../../classifiers/classifier.ts";
import { checkedYaml, readText } from "../checked-yaml.ts";

const off = z.literal("off");
const personalData = z.union([
  off,
  z.strictObject({ action: z.enum(["mask", "block"]).default("mask"), labels: z.array(z.enum(patternLabels)).default([...patternLabels]) }),
]);
const controlCharacters = z.union([off, z.strictObject({ run_max: z.int().min(1).default(8) })]);
const invisibleText = z.union([off, z.strictObject({})]);

/** The shape of a policy file; `policies/default.yaml` documents every key. */
export const policySchema = z.strictObject({
  input: z
    .strictObject({
      control_characters: controlCharacters.prefault({}),
      invisible_text: invisibleText.prefault({}),
      repetition: z.union([off, z.strictObject({ repeats_max: z.int().min(2).default(200) })]).prefault({}),
      personal_data: personalData.prefault({}),
    })
    .prefault({}),
  output: z
    .strictObject({
      /** `segments` releases text as soon as nothing can become part of a match; `whole` judges the finished answer. */
      release: z.enum(["segments", "whole"]).default("segments"),
      control_characters: controlCharacters.prefault({}),
      invisible_text: invisibleText.prefault({}),
      personal_data: personalData.prefault({}),
    })
    .prefault({}),
  audit: z.strictObject({ text: z.enum(["hmac", "encrypted"]).default("hmac") }).prefault({}),
});

export interface Policy extends z.infer<typeof policySchema> {
  readonly name: string;
  /** Of the file. */
  readonly sha256: string;
}

/** Throws a `ConfigError` that names every wrong key. */
export function readPolicy(path: string): Policy {
  const text = readText(path);
  return {
    ...checkedYaml(path, text, policySchema),
    name: basename(path, ".yaml"),
    sha256: createHash("sha256").update(text).digest("hex"),
  };
}
