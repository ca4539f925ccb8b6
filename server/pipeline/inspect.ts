import { Fault } from "../fault.ts";
import type { Finding } from "./finding.ts";
import type { Asking, Guard, Verdict } from "./guard.ts";
import type { RefusalCode } from "./refusal.ts";

/** What all guards of a gate said together. */
export type Inspection<Subject> =
  | { readonly action: "pass"; readonly subject: Subject; readonly findings: readonly Finding[] }
  | { readonly action: "block"; readonly code: RefusalCode; readonly findings: readonly Finding[] }
  | { readonly action: "failed"; readonly cause: unknown; readonly findings: readonly Finding[] };

/**
 * Asks the guards in order; each sees what the last one rewrote, and the first that blocks, or throws, ends it. Those that take time look side by side,
 * and look again at what one before them rewrote. Those whose answer no longer counts are told to stop.
 */
export async function inspect<Subject>(guards: readonly Guard<Subject>[], subject: Subject, asking: Asking): Promise<Inspection<Subject>> {
  if (guards.length === 0) return { action: "pass", subject, findings: [] };
  let current = subject;
  let findings: Finding[] = [];
  let stale = new AbortController();
  let looking: Looking<Subject>[] = [];
  try {
    for (const [index, guard] of guards.entries()) {
      if (index === looking.length) looking.push(...begin(guards.slice(index), current, until(stale, asking)));
      const verdict = await looking[index];
      if (verdict === undefined || verdict.action === "failed") {
        return { action: "failed", cause: new Error(`guard ${guard.name} failed`, { cause: verdict?.cause }), findings };
      }
      findings = findings.concat(verdict.findings);
      if (verdict.action === "block") return { action: "block", code: verdict.code, findings };
      if (verdict.action === "rewrite") {
        current = verdict.subject;
        stale.abort();
        stale = new AbortController();
        looking = looking.slice(0, index + 1);
      }
    }
    return { action: "pass", subject: current, findings };
  } finally {
    stale.abort();
  }
}

function until({ signal: stale }: AbortController, { caller, signal }: Asking): Asking {
  return { caller, signal: signal === undefined ? stale : AbortSignal.any([signal, stale]) };
}

interface Failed {
  readonly action: "failed";
  readonly cause: unknown;
}

type Looking<Subject> = Verdict<Subject> | Failed | Promise<Verdict<Subject> | Failed>;

/** Lets the guards look at `subject`, up to the first that has an answer at once other than "pass", or looks alone: what follows could look in vain. */
function begin<Subject>(guards: readonly Guard<Subject>[], subject: Subject, asking: Asking): Looking<Subject>[] {
  const looking: Looking<Subject>[] = [];
  const failed = (cause: unknown): Failed => ({ action: "failed", cause });
  for (const guard of guards) {
    try {
      const verdict = guard.inspect(subject, asking);
      looking.push(verdict instanceof Promise ? verdict.catch(failed) : verdict);
      if (verdict instanceof Promise ? guard.alone : verdict.action !== "pass") break;
    } catch (cause) {
      looking.push(failed(cause));
      break;
    }
  }
  return looking;
}

/** The fault of a call that could not be judged, so that nothing passes: the guard's own, when it knows better. */
export function failureOf(cause: unknown): Fault {
  const reason = cause instanceof Error ? cause.cause : undefined;
  return reason instanceof Fault ? reason : new Fault("guard_failed", undefined, { cause });
}
