import { EngineFault } from "./engine.ts";

/** An expression of a grammar (GBNF) for what fits one of `parts`. */
export function either(parts: readonly string[]): string {
  return parts.length === 1 ? (parts[0] ?? "") : `(${parts.join(" | ")})`;
}

/** Of a schema that no grammar can keep an answer to. */
export function unsupported(message: string): EngineFault {
  return new EngineFault("schema_unsupported", message);
}
