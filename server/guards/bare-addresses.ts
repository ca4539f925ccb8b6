import { domains } from "../domains.ts";
import { withoutEntities } from "../entities.ts";
import { type Edit, type Passage, passage, rewrite, spanInOriginal } from "../pipeline/passage.ts";
import { type Address, addressCharsMax, linksIn, untilBracket } from "./markdown-links.ts";

/** An address that is written out. */
type Bare = Pick<Address, "start" | "end" | "address">;

const label = "[\\p{L}\\p{N}_-]{1,63}";
/** What one begins with: a scheme, that of the Web also within a word, or what viewers make links of without one. */
const beginning = [
  "(?<=<)[a-z][a-z0-9+.-]{1,31}:(?!\\/\\/|\\\\\\\\)",
  "(?:(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{1,12}|https?|ftp):(?:\\/\\/|\\\\\\\\)",
  "www\\.",
  `(?<![:/\\w])\\/\\/(?=(?:${label}\\.)+\\p{L}{2})`,
  `(?<![\\p{L}\\p{N}@._/:-])(?:${label}\\.)+(?:${domains})(?=[:/?#])`,
].join("|");
const all = new RegExp(`(?:${beginning})(?=[^\\s<>"]{3})`, "giu");
/** And what may become one with more text. */
const begun = new RegExp(`${beginning}|(?<![\\w.+:/-])[\\w.+:/-]{1,99}$|(?:ht{0,2}|https?|ft?p?)(?::\\/?)?$|w{1,3}$`, "iu");

/** Where the address that the end of `text` belongs to, or may, begins. */
export function openBareIn(text: string): number {
  const from = 1 + Math.max(...[..."\t\n\f\r "].map((end) => text.lastIndexOf(end)));
  const word = text.slice(from).replace(/(?:&[#\w]{0,10}|(?<!\\)\\+)$/u, "");
  const starts = [passage(word), asShown(word)].map((read) => {
    const start = read.text.search(begun);
    return start < 0 ? word.length : spanInOriginal(read, { start, end: start + 1 }).start;
  });
  return from + Math.min(...starts);
}

/**
 * Each as it is read by those who stop at a bracket or a quotation mark, and by those who read on, as GitHub's Markdown does, where no link ends there. So is what is one only as Markdown shows it. `isCut`: something stands before `text`.
 */
export function* bareIn(
  text: string,
  addresses: readonly Address[],
  { isCut, isJson }: { isCut: boolean; isJson: boolean },
): Generator<Bare> {
  const links = linksIn(text, addresses, isCut);
  const linked = new Set(links.values().map(({ start }) => (text[start] === "<" ? start + 1 : start)));
  const starts = new Set<number>();
  for (const [near, far] of writtenIn(text, isJson)) {
    starts.add(near.start);
    yield near;
    if (!linked.has(near.start) && !links.has(near.end)) yield far;
  }
  const shown = asShown(text);
  if (shown.text === text) return;
  for (const one of [...writtenIn(shown.text, isJson)].flat()) {
    const span = spanInOriginal(shown, one);
    if (!starts.has(span.start)) yield { ...span, address: one.address };
  }
}

/** Also one within another: not everybody makes a link of each. */
function* writtenIn(text: string, isJson: boolean): Generator<[near: Bare, far: Bare]> {
  for (const { index: start, 0: begins } of text.matchAll(all)) {
    const scheme = begins.startsWith("//") ? "https:" : /[:/\\]$/u.test(begins) ? "" : "https://";
    const read = (written = ""): Bare => ({ start, end: start + written.length, address: scheme + written });
    const near = read(text.slice(start, untilBracket(text, start)).split(/[\s<>"]/u, 1)[0]);
    const [word = ""] = text.slice(start, start + addressCharsMax + 1).split(isJson ? /[\s"]/u : /[\t\n\f\r ]/u, 1);
    const far = read(untilTag(word));
    // Some words have a dot and a colon.
    if (scheme === "" || URL.canParse(near.address)) yield [near, URL.canParse(far.address) ? far : near];
  }
}

/** A tag ends an address, but for those who read on to the bracket or quotation mark that closes what was opened before. */
function untilTag(word: string): string {
  const [before = ""] = word.split(/(?<!\\)<\/?[a-z][a-z\d-]*\/?>/iu, 1);
  const behind = word.slice(before.length);
  const isOpen = ["()", "[]", "{}", '""', "''"].some(([open = "", close = ""]) => before.includes(open) && behind.includes(close));
  return isOpen ? word : before;
}

/** Without the escapes and entities of Markdown. */
function asShown(text: string): Passage {
  const edits = [...text.matchAll(/\\([!-/:-@[-`{-~])|&#?\w{2,8};?/gu)].map(
    ({ index, 0: whole, 1: char }): Edit => ({
      span: { start: index, end: index + whole.length },
      replacement: char ?? withoutEntities(whole),
    }),
  );
  return rewrite(passage(text), edits);
}
