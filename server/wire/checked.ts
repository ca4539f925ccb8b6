import type { z } from "zod";
import { Fault } from "../fault.ts";

type Issue = z.core.$ZodIssue;

/** Parameters that vendors document and this service does not honour, at one path at least. */
const knownParameters = new Set(
  `audio function_call functions logprobs metadata modalities moderation n parallel_tool_calls prediction
  prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier service_tier store tool_choice tools top_logprobs
  verbosity web_search_options include_obfuscation best_of echo suffix dimensions custom name tool_calls tool_call_id
  expires_after output_expires_after stream_options max_tool_calls previous_response_id conversation prompt context_management include reasoning image
  access_programs personality cache_control container diagnostics inference_geo output_config speed thinking user_profile_id workspace_id
  refusal thread effort task_budget budget_tokens context citations input_examples allowed_callers`.split(/\s+/u),
);

/** Of nulls that show only when others are gone. */
const roundsMax = 5;

/** What a caller sent, as `schema` reads it. What is null asks for nothing, honoured or not, and is taken out of `sent`. Throws the fault of what is wrong with it. */
export function checked<Schema extends z.ZodType>(schema: Schema, sent: unknown): z.output<Schema> {
  for (let rounds = roundsMax; ; rounds -= 1) {
    const parsed = schema.safeParse(sent);
    if (parsed.success) return parsed.data;
    const issues = parsed.error.issues.flatMap(innermost);
    const dropped = issues.flatMap(placesOf).map((place) => dropNull(sent, place));
    if (!dropped.includes(true) || rounds === 0) throw faultOf(issues);
  }
}

/** What an issue is about. */
function placesOf(issue: Issue): readonly PropertyKey[][] {
  return issue.code === "unrecognized_keys" ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
}

type Parsed = Readonly<Record<PropertyKey, unknown>> | null | undefined;

/** Whether there was one. */
function dropNull(sent: unknown, place: readonly PropertyKey[]): boolean {
  const parent = place.slice(0, -1).reduce((found, step) => found?.[step] as Parsed, sent as Parsed); // JSON, as zod has walked it
  const key = place.at(-1);
  return typeof key === "string" && parent?.[key] === null && Reflect.deleteProperty(parent, key);
}

/** The first thing that is wrong with a body, named by its parameter; never quotes a value. */
function faultOf(issues: readonly Issue[]): Fault {
  const issue = issues.toSorted((a, b) => weight(a) - weight(b))[0];
  if (issue === undefined) return new Fault("invalid_value");
  const param = pathOf(issue.path);
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const name = param === "" ? shown(key) : `${param}.${shown(key)}`;
    return knownParameters.has(key)
      ? new Fault("unsupported_parameter", `\`${name}\` is not supported and would be ignored. Leave it out.`, { param: name })
      : new Fault("unknown_parameter", `There is no parameter \`${name}\`.`, { param: name });
  }
  if (issue.code === "invalid_type" && issue.message.endsWith("received undefined")) {
    return new Fault("missing_parameter", `\`${param}\` is missing.`, { param });
  }
  if (param === "") return new Fault("invalid_value", "The body must be a JSON object.");
  return new Fault("invalid_value", `\`${param}\`: ${issue.message}.`, { param });
}

/** A union reports every alternative; the one that came furthest is the one that was meant. */
function innermost(issue: Issue): readonly Issue[] {
  if (issue.code !== "invalid_union") return [issue];
  const [best] = issue.errors.toSorted((a, b) => depth(b) - depth(a) || isOtherType(a) - isOtherType(b) || a.length - b.length);
  return best === undefined ? [issue] : best.flatMap((one) => innermost({ ...one, path: [...issue.path, ...one.path] }));
}

function depth(issues: readonly Issue[]): number {
  return issues.reduce((deepest, { path }) => Math.max(deepest, path.length), 0);
}

/** 1 where the alternative is of another type altogether. */
function isOtherType(issues: readonly Issue[]): number {
  return Number(issues.some(({ code, path }) => code === "invalid_type" && path.length === 0));
}

/** An unknown name is the most useful thing to hear first. */
function weight(issue: Issue): number {
  return issue.code === "unrecognized_keys" ? 0 : 1;
}

function pathOf(path: readonly PropertyKey[]): string {
  return path.map((part, index) => (typeof part === "number" ? `[${part}]` : `${index === 0 ? "" : "."}${shown(String(part))}`)).join("");
}

/** A key is the client's text: bounded and printable before it is said back. */
function shown(key: string): string {
  return key.replaceAll(/[^\w.$[\]-]/gu, "?").slice(0, 64);
}
