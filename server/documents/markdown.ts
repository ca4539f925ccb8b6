import { parser } from "@lezer/markdown";
import { type Edit, joined, type Passage, passage, rewrite } from "../pipeline/passage.ts";
import { UnreadableDocument } from "./document.ts";
import { decoded, readHtml } from "./html.ts";

/** Lists and quotations that begin in one line, and in all: a parser's time grows with the square of the first. */
const depthMax = 20;
const containersMax = 50_000;
const containers = /^(?:[ \t]*(?:[-*+>]|\d{1,9}[.)])(?=[ \t>]|$))+/gmu;

/** It does with the marks of emphasis, links and code in one paragraph too. */
const tangleMax = 25_000_000;
const blockEnds = /\n(?=[ \t]*\n| {0,3}(?:[-*+] |#))/u;

/** Tags, comments and entities in all. */
const fragmentsMax = 5_000;

const fragments: Readonly<Record<string, "block" | "inline">> = {
  CommentBlock: "block",
  HTMLBlock: "block",
  ProcessingInstructionBlock: "block",
  Comment: "inline",
  HTMLTag: "inline",
  ProcessingInstruction: "inline",
};

/**
 * A Markdown file as text: as it stands, but for what would stand between the letters of a word or instead of them (marks of emphasis, escapes, entities),
 * and for HTML: a block is read in its place, what stands in a tag or comment of a line follows at the end. Throws `UnreadableDocument`.
 */
export function readMarkdown(source: string): Passage {
  checkTangle(source);
  const pieces: Passage[] = [];
  const asides: Passage[] = [];
  let edits: Edit[] = [];
  let taken = 0;
  let count = 0;
  const take = (end: number): void => {
    pieces.push(rewrite(passage(source.slice(taken, end), taken), edits));
    edits = [];
    taken = end;
  };
  parser.parse(source).iterate({
    enter({ name, from, to }) {
      const text = source.slice(from, to);
      const edit = (replacement: string): number => edits.push({ span: { start: from - taken, end: to - taken }, replacement });
      const fragment = fragments[name];
      if (fragment !== undefined || name === "Entity") count += 1;
      if (count > fragmentsMax) throw new UnreadableDocument(`it has more than ${fragmentsMax} tags, comments and entities`);
      if (name === "EmphasisMark") edit("");
      else if (name === "Escape") edit(text.slice(1));
      else if (name === "Entity") edit(decoded(text));
      else if (fragment === "inline") {
        edit("");
        asides.push(moved(readHtml(text), from));
      } else if (fragment === "block") {
        take(from);
        pieces.push(moved(readHtml(text), from));
        taken = to;
      } else return true;
      return false;
    },
  });
  take(source.length);
  return joined(
    [joined(pieces, ""), ...asides].filter(({ text }) => text !== ""),
    "\n\n",
  );
}

function moved({ text, runs }: Passage, offset: number): Passage {
  return { text, runs: runs.map((run) => ({ ...run, originalStart: run.originalStart + offset })) };
}

function checkTangle(source: string): void {
  const begun = [...source.matchAll(containers)].map(([line]) => line.match(/[-*+>.)]/gu)?.length ?? 0);
  if (begun.some((depth) => depth > depthMax))
    throw new UnreadableDocument(`it has lists or quotations more than ${depthMax} deep in each other`);
  if (begun.reduce((sum, depth) => sum + depth, 0) > containersMax)
    throw new UnreadableDocument(`it has more than ${containersMax} lists and quotations`);
  const tangle = source.split(blockEnds).reduce((sum, block) => sum + (block.match(/[[*_<`&!]/gu)?.length ?? 0) ** 2, 0);
  if (tangle > tangleMax) throw new UnreadableDocument("it has more marks in a paragraph than can be read in time");
}
