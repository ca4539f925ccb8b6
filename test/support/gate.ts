import type { Gates } from "../../server/pipeline/answer.ts";
import type { Finding } from "../../server/pipeline/finding.ts";
import type { Message, Origin, SegmentGuard } from "../../server/pipeline/guard.ts";
import { passage } from "../../server/pipeline/passage.ts";
import { Refusal } from "../../server/pipeline/refusal.ts";
import { throughGuards, type Watch } from "../../server/pipeline/through-guards.ts";
import { gatesOf } from "../../server/policy/gates.ts";
import { policySchema } from "../../server/policy/policy.ts";
import { testClassifiers } from "./classifiers.ts";

/** The gates of a policy, by what its file would say. */
export async function testGates(rules: object = {}): Promise<Gates> {
  return gatesOf(policySchema.parse(rules), await testClassifiers());
}

export const said = (text: string, origin: Origin = "user", index = 0): Message => ({
  role: "user",
  index,
  origin,
  passage: passage(text),
});

/** What leaves when `pieces` stream through the guards of an output gate, piece by piece as it leaves, and what was found. Ends where a guard blocks. */
export async function throughGate(
  pieces: readonly string[],
  guards: readonly SegmentGuard[],
): Promise<{ left: string[]; blocked: boolean; findings: Finding[] }> {
  const left: string[] = [];
  const findings: Finding[] = [];
  async function* stream(): AsyncGenerator<string> {
    yield* pieces;
  }
  const watch: Watch = {
    stops: () => [],
    wait: ({ length }) => length,
    asking: { caller: "app" },
    record: { judged: (found) => findings.push(...found) },
  };
  for await (const part of throughGuards(stream(), guards, watch)) {
    if (part instanceof Refusal) return { left, blocked: true, findings };
    left.push(part.passage.text);
  }
  return { left, blocked: false, findings };
}

/** `text` cut after the given numbers of characters, over and over. */
export function cut(text: string, lengths: readonly number[]): string[] {
  const pieces: string[] = [];
  for (let at = 0, turn = 0; at < text.length; turn += 1) {
    const length = lengths[turn % lengths.length] ?? 1;
    pieces.push(text.slice(at, at + length));
    at += length;
  }
  return pieces;
}
