import { EngineFault } from "./engine.ts";

/** llama.cpp writes a repetition out in full. */
const repeatsMax = 2_000;

/** An expression of a grammar (GBNF) for what fits one of `parts`. */
export function either(parts: readonly string[]): string {
  return parts.length === 1 ? (parts[0] ?? "") : `(${parts.join(" | ")})`;
}

/** Of a schema that no grammar can keep an answer to. */
export function unsupported(message: string): EngineFault {
  return new EngineFault("schema_unsupported", message);
}

/** A keyword of a schema that is a number of items or characters. */
export function count(value: unknown, name: string, path: string): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0) throw unsupported(`\`${name}\` at ${path} is no count.`);
  if (value > repeatsMax) throw unsupported(`\`${name}\` at ${path} can be honoured up to ${repeatsMax}.`);
  return value;
}
