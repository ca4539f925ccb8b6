import type { CallRecord } from "./call-record.ts";
import type { Answered, Asking, Guard, Segment, SegmentGuard } from "./guard.ts";
import { failureOf, inspect } from "./inspect.ts";
import { type Passage, passage, type Span } from "./passage.ts";
import { Refusal } from "./refusal.ts";
import { segment, type Wait } from "./segment.ts";

/** What may leave, or why no more does; then nothing follows. */
export type Judged = Pick<Segment, "passage" | "last"> | Refusal;

export interface Watch extends Partial<Answered> {
  /** A template's own end marks. */
  readonly stops: () => readonly string[];
  /** Of no guard. */
  readonly wait: Wait;
  readonly asking: Asking;
  readonly record: Pick<CallRecord, "judged">;
}

/**
 * An answer on its way through the output gate. Guards stand side by side up to one that rewrites; those behind it wait by, and look at, the text that it
 * left, as if it were the model's: what is only there once something was taken out, or put in, is judged too.
 */
export function throughGuards(texts: AsyncIterable<string>, guards: readonly SegmentGuard[], watch: Watch): AsyncIterable<Judged> {
  let parts: AsyncIterable<Judged> = asParts(texts);
  for (const stage of stagesOf(guards)) parts = throughStage(parts, stage, watch);
  return parts;
}

function stagesOf(guards: readonly SegmentGuard[]): SegmentGuard[][] {
  const stages: SegmentGuard[][] = [[]];
  for (const [index, guard] of guards.entries()) {
    if (guards[index - 1]?.rewrites === true) stages.push([]);
    stages.at(-1)?.push(guard);
  }
  return stages;
}

async function* asParts(texts: AsyncIterable<string>): AsyncGenerator<Judged> {
  let read = 0;
  for await (const text of texts) {
    yield { passage: passage(text, read), last: false };
    read += text.length;
  }
}

async function* throughStage(
  parts: AsyncIterable<Judged>,
  guards: readonly SegmentGuard[],
  { stops, wait, isJson = false, ...watch }: Watch,
): AsyncGenerator<Judged> {
  const end: { refusal?: Refusal } = {};
  async function* passages(): AsyncGenerator<Passage> {
    for await (const part of parts) {
      if (part instanceof Refusal) {
        end.refusal = part;
        return;
      }
      yield part.passage;
    }
  }
  const answer: Answered = { isJson };
  const waits = [...guards.map((guard) => guard.wait), wait];
  const bySentence = guards.some((guard) => guard.bySentence === true);
  const whole = (text: string): Span[] => guards.flatMap((guard) => guard.whole?.(text) ?? []);
  for await (const part of segment(passages(), waits, stops, { bySentence, whole })) {
    // What was held when the guards before refused does not leave.
    if (end.refusal !== undefined) return yield end.refusal;
    const left = await leftOf(guards, { ...part, answer }, watch);
    yield left;
    if (left instanceof Refusal) return;
  }
}

/** What the guards say to an answer that ends before the text that is generated for it: no more of it leaves, and some judge it as a whole. */
export async function refusalOfWhole(released: Passage, guards: readonly SegmentGuard[], watch: Watch): Promise<Refusal | undefined> {
  const left = await leftOf(guards, { released, before: "", passage: passage(""), ahead: "", last: true }, watch);
  return left instanceof Refusal ? left : undefined;
}

/** What guards leave of `subject`, or their no. Recorded. Throws when one failed. */
export async function leftOf<Subject>(
  guards: readonly Guard<Subject>[],
  subject: Subject,
  { asking, record }: Pick<Watch, "asking" | "record">,
): Promise<Subject | Refusal> {
  const judged = await inspect(guards, subject, asking);
  record.judged(judged.findings);
  if (judged.action === "failed") throw failureOf(judged.cause);
  return judged.action === "block" ? new Refusal(judged.code, judged.findings) : judged.subject;
}
