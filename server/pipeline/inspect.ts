import { Fault } from "../fault.ts";
import type { Finding } from "./finding.ts";
import type { Asking, Guard } from "./guard.ts";
import type { RefusalCode } from "./refusal.ts";

/** What all guards of a gate said together. */
export type Inspection<Subject> =
  | { readonly action: "pass"; readonly subject: Subject; readonly findings: readonly Finding[] }
  | { readonly action: "block"; readonly code: RefusalCode; readonly findings: readonly Finding[] }
  | { readonly action: "failed"; readonly cause: unknown; readonly findings: readonly Finding[] };

/** Asks the guards in order; each sees what the last one rewrote, and the first that blocks, or throws, ends it. */
export async function inspect<Subject>(guards: readonly Guard<Subject>[], subject: Subject, asking: Asking): Promise<Inspection<Subject>> {
  let current = subject;
  let findings: Finding[] = [];
  for (const guard of guards) {
    try {
      const verdict = await guard.inspect(current, asking);
      findings = findings.concat(verdict.findings);
      if (verdict.action === "block") return { action: "block", code: verdict.code, findings };
      if (verdict.action === "rewrite") current = verdict.subject;
    } catch (cause) {
      return { action: "failed", cause: new Error(`guard ${guard.name} failed`, { cause }), findings };
    }
  }
  return { action: "pass", subject: current, findings };
}

/** The fault of a call that could not be judged, so that nothing passes: the guard's own, when it knows better. */
export function failureOf(cause: unknown): Fault {
  const reason = cause instanceof Error ? cause.cause : undefined;
  return reason instanceof Fault ? reason : new Fault("guard_failed", undefined, { cause });
}
