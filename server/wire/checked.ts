import { z } from "zod";
import { Fault } from "../fault.ts";

type Issue = z.core.$ZodIssue;

/** Parameters that vendors document and this service does not honour, at one path at least. */
const knownParameters = new Set(
  `audio function_call functions logprobs metadata modalities moderation n parallel_tool_calls prediction
  prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier service_tier store tool_choice tools top_logprobs
  verbosity web_search_options include_obfuscation best_of echo suffix dimensions custom name tool_calls tool_call_id
  expires_after output_expires_after stream_options max_tool_calls previous_response_id conversation prompt context_management include reasoning image
  access_programs personality cache_control container diagnostics inference_geo output_config speed thinking user_profile_id workspace_id`.split(
    /\s+/u,
  ),
);

/** What a caller sent, as `schema` reads it. A parameter that is null asks for nothing, honoured or not. Throws the fault of what is wrong with it. */
export function checked<Schema extends z.ZodType>(schema: Schema, sent: unknown): z.output<Schema> {
  const parsed = schema.safeParse(schema instanceof z.ZodObject ? withoutNulls(sent, schema.shape) : sent);
  if (!parsed.success) throw faultOf(parsed.error);
  return parsed.data;
}

function withoutNulls(sent: unknown, shape: Readonly<Record<string, z.ZodType>>): unknown {
  if (typeof sent !== "object" || sent === null || Array.isArray(sent)) return sent;
  const maybe = (key: string): boolean =>
    Object.hasOwn(shape, key) ? shape[key]?.safeParse(undefined).success === true : knownParameters.has(key);
  return Object.fromEntries(Object.entries(sent).filter(([key, value]) => value !== null || !maybe(key)));
}

/** The first thing that is wrong with a body, named by its parameter; never quotes a value. */
function faultOf(error: z.ZodError): Fault {
  const issue = error.issues.map(innermost).toSorted((a, b) => weight(a) - weight(b))[0];
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
function innermost(issue: Issue): Issue {
  if (issue.code !== "invalid_union") return issue;
  const best = issue.errors.toSorted((a, b) => depth(b) - depth(a) || a.length - b.length)[0]?.[0];
  return best === undefined ? issue : innermost({ ...best, path: [...issue.path, ...best.path] });
}

function depth(issues: readonly Issue[]): number {
  return Math.max(...issues.map((issue) => issue.path.length));
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
  return key.replaceAll(/[^\w.$-]/gu, "?").slice(0, 64);
}
