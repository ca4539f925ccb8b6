import type { Finding } from "../pipeline/finding.ts";
import type { Asking, Guard, Message, Prompt, SegmentGuard, Verdict } from "../pipeline/guard.ts";
import { type Passage, rewrite, type Span, spanInOriginal } from "../pipeline/passage.ts";
import type { RefusalCode } from "../pipeline/refusal.ts";
import type { Wait } from "../pipeline/segment.ts";

/** What a detector saw in one text. */
export interface Detection {
  readonly label: string;
  readonly span: Span;
  readonly action: "shadow" | "rewrite" | "block";
  /** 0 to 1. Default: 1, as a deterministic detector says. */
  readonly score?: number;
  /** What the score was held against. Default: 1. */
  readonly threshold?: number;
  /** What takes the place of the span when the action is `rewrite`. */
  readonly replacement: string;
}

/** What a detection does under an action of a policy. */
export const acting = { block: "block", mask: "rewrite", shadow: "shadow" } as const;

/** In order, none over another: the first stays, of two that begin together the longer. */
export function apart(found: readonly Detection[]): Detection[] {
  let taken = 0;
  return found
    .toSorted((a, b) => a.span.start - b.span.start || b.span.end - a.span.end)
    .filter(({ span }) => {
      const free = span.start >= taken;
      if (free) taken = span.end;
      return free;
    });
}

/** What stands in the place of `span`: its brackets make no picture, link or definition of what stands around it, and what ends there (a quotation, a bracket, a tag, a paragraph) still does. */
export function notice(what: string, text: string, { start, end }: Span): string {
  const taken = text.slice(Math.max(0, start), end);
  const before = /[!\]]/u.test(text[start - 1] ?? "") ? " " : "";
  const count = (mark: string): number => taken.split(mark).length - 1;
  const ends: string[] = [];
  if (!/^[<!]/u.test(taken)) ends.push(...['"', "'"].filter((mark) => count(mark) % 2 > 0), ...(count("]") > count("[") ? ["]"] : []));
  if (!taken.startsWith("<") && taken.includes(">")) ends.push(">");
  const after = /\n[ \t]*\n/u.test(taken) ? "\n\n" : /[(:]/u.test(text[end] ?? "") ? " " : "";
  return `${before}[${what} withheld]${ends.join("")}${after}`;
}

/** Looks at one text. Detections are in order and do not overlap. Linear time in the length of the text. */
export type Detector = (text: string) => readonly Detection[];

/** A detector that may ask a classifier. */
export type Look = (text: string, asking: Asking) => readonly Detection[] | Promise<readonly Detection[]>;

/** A guard of the input gate that looks at every message by itself. */
export function promptGuard(name: string, code: RefusalCode, detect: Detector): Guard<Prompt> {
  return {
    name,
    inspect(prompt) {
      const judged = prompt.messages.map((message) => judge(name, detect(message.passage.text), message.passage, message));
      const messages = prompt.messages.map(
        (message, index): Message => ({ ...message, passage: judged[index]?.passage ?? message.passage }),
      );
      return verdict(
        code,
        judged.flatMap((one) => one.findings),
        { ...prompt, messages },
      );
    },
  };
}

/** A guard of the output gate: it sees the text around the segment and judges what lies inside it. */
export function segmentGuard(name: string, code: RefusalCode, detect: Look, wait: Wait): SegmentGuard {
  return {
    name,
    wait,
    rewrites: true,
    async inspect(segment, asking) {
      const { before, passage, ahead } = segment;
      if (passage.text === "") return { action: "pass", findings: [] }; // nothing lies inside
      const inside = (await detect(before + passage.text + ahead, asking))
        .map((one) => ({ ...one, span: { start: one.span.start - before.length, end: one.span.end - before.length } }))
        .filter((one) => one.span.end > 0 && one.span.start < passage.text.length)
        .map((one) => ({ ...one, span: { start: Math.max(0, one.span.start), end: Math.min(passage.text.length, one.span.end) } }));
      const judged = judge(name, inside, passage);
      return verdict(code, judged.findings, { ...segment, passage: judged.passage });
    },
  };
}

function judge(
  guard: string,
  detections: readonly Detection[],
  source: Passage,
  message?: Message,
): { passage: Passage; findings: Finding[] } {
  const edits = detections.filter((one) => one.action === "rewrite");
  return {
    passage: edits.length === 0 ? source : rewrite(source, edits),
    findings: findingsOf(guard, detections, source, message),
  };
}

/** Detections as findings, with their places in the original text. `message`: none for an answer. */
export function findingsOf(guard: string, detections: readonly Detection[], source: Passage, message?: Message): Finding[] {
  return detections.map(
    ({ label, span, action, score = 1, threshold = 1 }): Finding => ({
      guard,
      label,
      score,
      threshold,
      span: spanInOriginal(source, span),
      ...(message === undefined ? {} : { message: message.index, origin: message.origin }),
      action,
    }),
  );
}

/** The verdict that a guard's findings make. */
export function verdict<Subject>(code: RefusalCode, findings: readonly Finding[], subject: Subject): Verdict<Subject> {
  if (findings.some((one) => one.action === "block")) return { action: "block", code, findings };
  if (findings.some((one) => one.action === "rewrite")) return { action: "rewrite", subject, findings };
  return { action: "pass", findings };
}
