import { readFileSync, statSync } from "node:fs";
import { parse } from "yaml";
import type { z } from "zod";

/** The text of a file that an operator names. */
export function readText(path: string): string {
  if (statSync(path).isDirectory()) throw new Error(`${path} is a directory. Name a file.`);
  return readFileSync(path, "utf8");
}

/** What the YAML in `text`, the content of `path`, says; an empty file says nothing. Throws when it is wrong, naming the file and every wrong key. */
export function checkedYaml<T extends z.ZodType>(path: string, text: string, schema: T): z.output<T> {
  let raw: unknown;
  try {
    raw = parse(text) ?? {};
  } catch (error) {
    throw new Error(`${path} is not valid YAML: ${(error as Error).message}`);
  }
  const result = schema.safeParse(raw);
  if (!result.success) throw new Error(`${path} is not valid:\n${sentences(result.error)}`);
  return result.data;
}

/** One line a fault, with the path of the key. */
export function sentences(error: z.ZodError): string {
  return error.issues
    .flatMap(meant)
    .flatMap((issue) => {
      const path = issue.path.join(".");
      if (issue.code === "unrecognized_keys") return issue.keys.map((key) => `  ${path}${path && "."}${key}: there is no such key`);
      return [`  ${path || "the file"}: ${inWords(issue)}`];
    })
    .join("\n");
}

type Issue = z.core.$ZodIssue;

/** Of the shapes that a value may have, the faults of the one that it was meant to have; the issue itself when it has none of them. */
function meant(issue: Issue): Issue[] {
  if (issue.code !== "invalid_union") return [issue];
  const faults = issue.errors.find((issues) => issues.every(({ code, path }) => code === "unrecognized_keys" || path.length > 0));
  return faults?.map((one) => ({ ...one, path: [...issue.path, ...one.path] })) ?? [issue];
}

function inWords(issue: Issue): string {
  if (issue.code === "invalid_value") return `must be ${issue.values.map(String).join(" or ")}`;
  if (issue.code === "invalid_union") {
    return issue.errors
      .flatMap(([first]) => (first === undefined ? [] : [inWords(first)]))
      .join(" or ")
      .replaceAll(" or must be", " or");
  }
  if (issue.code !== "invalid_type") return issue.message;
  const nouns: Record<string, string> = { object: "a mapping", array: "a list", int: "a whole number" };
  return `must be ${nouns[issue.expected] ?? `a ${issue.expected}`}`;
}
