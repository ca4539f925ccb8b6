import { gatesOf } from "../../server/guards/gates.ts";
import type { Gates } from "../../server/pipeline/answer.ts";
import type { Message, Origin, SegmentGuard } from "../../server/pipeline/guard.ts";
import { inspect } from "../../server/pipeline/inspect.ts";
import { passage } from "../../server/pipeline/passage.ts";
import { segment } from "../../server/pipeline/segment.ts";
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

/** What leaves when `pieces` stream through the guards of an output gate, piece by piece as it leaves. Ends where a guard blocks. */
export async function throughGate(
  pieces: readonly string[],
  guards: readonly SegmentGuard[],
): Promise<{ left: string[]; blocked: boolean }> {
  const left: string[] = [];
  async function* stream(): AsyncGenerator<string> {
    yield* pieces;
  }
  for await (const part of segment(
    stream(),
    guards.map((guard) => guard.wait),
    () => [],
    { bySentence: guards.some((guard) => guard.bySentence === true) },
  )) {
    const judged = await inspect(guards, part, { caller: "app" });
    if (judged.action === "failed") throw judged.cause;
    if (judged.action === "block") return { left, blocked: true };
    left.push(judged.subject.passage.text);
  }
  return { left, blocked: false };
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
