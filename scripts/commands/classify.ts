import { parseArgs } from "node:util";
import { z } from "zod";
import {
  type Classifiers,
  type EntityVerdict,
  type Origin,
  openClassifiers,
  origins,
  type Task,
  type TextVerdict,
  tasks,
} from "../../classifiers/classifier.ts";
import { type Command, UsageError } from "../command.ts";
import { inOrder } from "../in-order.ts";
import { linesOf } from "../lines.ts";
import { wholeFrom } from "../option-number.ts";

export const classify: Command = {
  usage: `Usage: npx sallyport classify --task injection|delicate|pii [--origin user|document|tool] < IN.jsonl > OUT.jsonl

Reads one JSON object a line, {"id": …, "text": "…"}, and writes one a line, in the same order, as it goes:
  injection, delicate   {"id", "score", "flagged", "threshold", "spans", "windows", "tokens_total", "tokens_scanned", "view"?, "categories"?}
  pii                   {"id", "entities": [{"start", "end", "label", "score"}], "windows", "tokens_total", "tokens_scanned"}
injection takes disguises off a text before it judges; "view" is the last of them: plain (what is not seen, lookalikes), decoded, respelled, turned; or original.
Offsets are UTF-16 code units of the text, "end" is exclusive. A line that can't be read gives {"id", "error"} in its place.
Needs no running service, no language model and no certificate.

  --task     which classifier
  --origin   where the texts come from: injection has a threshold for each. Default: user
  --workers  threads that classify. Default: one a core, at most 4`,

  async run(args) {
    const { values } = parseArgs({
      args,
      options: { task: { type: "string" }, origin: { type: "string", default: "user" }, workers: { type: "string", default: "0" } },
    });
    const task = oneOf(tasks, values.task, "--task");
    const origin = oneOf(origins, values.origin, "--origin");
    const workers = wholeFrom("--workers", values.workers, 0, 64);
    await using classifiers = await openClassifiers({ workers });
    const answers = inOrder(linesOf(process.stdin, lineBytesMax), sideBySide, (line) => answerTo(line, classifiers, task, origin));
    for await (const answer of answers) {
      if (!process.stdout.write(`${JSON.stringify(answer)}\n`)) await drained(process.stdout);
      if (process.stdout.destroyed) break;
    }
    return 0;
  },
};

/** Lines that are judged at the same time. */
const sideBySide = 16;
const lineBytesMax = 16_777_216;

const lineSchema = z.object({ id: z.union([z.string(), z.number(), z.null()]).default(null), text: z.string() });

/** What is written for one line; `undefined` is one that was too long. Never rejects: a text that could not be judged has an error in place of a verdict. */
export async function answerTo(line: string | undefined, classifiers: Classifiers, task: Task, origin: Origin): Promise<object> {
  if (line === undefined) return { id: null, error: `The line is longer than ${lineBytesMax} bytes.` };
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { id: null, error: 'The line is not JSON. Write {"id": …, "text": "…"}.' };
  }
  const parsed = lineSchema.safeParse(value);
  if (!parsed.success) return { id: idIn(value), error: 'The line has no text. Write {"id": …, "text": "…"}.' };
  const { id, text } = parsed.data;
  try {
    return task === "pii"
      ? entitiesLine(id, await classifiers.pii.judge(text))
      : scoreLine(id, await classifiers[task].judge(text, { origin }));
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : String(error) };
  }
}

type Id = string | number | null;

function idIn(value: unknown): Id {
  const id = typeof value === "object" && value !== null && "id" in value ? value.id : null;
  return typeof id === "string" || typeof id === "number" ? id : null;
}

function scoreLine(id: Id, { tokensTotal, tokensScanned, model: _, ...verdict }: TextVerdict): object {
  return { id, ...verdict, tokens_total: tokensTotal, tokens_scanned: tokensScanned };
}

function entitiesLine(id: Id, { entities, windows, tokensTotal, tokensScanned }: EntityVerdict): object {
  return { id, entities, windows, tokens_total: tokensTotal, tokens_scanned: tokensScanned };
}

function oneOf<T extends string>(known: readonly T[], given: string | undefined, option: string): T {
  const found = known.find((one) => one === given);
  if (found === undefined) throw new UsageError(`${option} takes ${known.join(", ")}.`);
  return found;
}

/** Until the stream takes more, or is closed. */
async function drained(stream: NodeJS.WriteStream): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.once("drain", resolve).once("close", resolve);
  await promise;
  stream.off("drain", resolve).off("close", resolve);
}
