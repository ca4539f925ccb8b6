/** Where an address in Markdown begins: of a link, or of a definition. In a quotation each line has its marks. */
const bracket = /\](?:\(|:)(?:\s|(?<=\n[ \t>]{0,99})>){0,99}/gu;

/** Longest open link or picture that is waited for. */
export const openCharsMax = 4_096;

/** The rest of a longer one is not read: by then it is plain where it leads, and that it carries something. */
export const addressCharsMax = 1_024;

const labelChars = "(?:\\\\.|[^\\\\[\\]])*";
const labelBehind = new RegExp(`^\\[(${labelChars})\\]`, "su");
const openLabel = new RegExp(`^\\[${labelChars}\\\\?$`, "su");

export interface Address {
  /** Of the bracket that closes before it. */
  readonly bracket: number;
  readonly start: number;
  /** Of the address; the end of the text while it may go on. */
  readonly end: number;
  readonly address: string;
  readonly isDefinition: boolean;
}

/** Addresses of links, pictures and definitions in Markdown. */
export function addressesIn(text: string): Address[] {
  return [...text.matchAll(bracket)].map(({ index, 0: opening }) => {
    const start = index + opening.length;
    const angled = text[start] === "<" ? (/^<(?:\\.|[^>\\\n])*>?/u.exec(text.slice(start, start + openCharsMax))?.[0] ?? "") : undefined;
    const end = angled === undefined ? untilBracket(text, start) : start + angled.length;
    const address = angled === undefined ? text.slice(start, end) : angled.slice(1).replace(/>$/u, "");
    return { bracket: index, start, end, address, isDefinition: opening.startsWith("]:") };
  });
}

/** Links that are links for whoever reads them, by the bracket that closes what is shown: it holds no mark that could make something else of it. */
export function linksIn(text: string, addresses: readonly Address[], isCut: boolean): ReadonlyMap<number, Address> {
  const byBracket = new Map(addresses.map((one) => [one.bracket, one]));
  const links = new Map<number, Address>();
  for (const [open, close] of bracketsOf(text).closings) {
    const address = byBracket.get(close);
    const isLink = address !== undefined && !address.isDefinition && address.start === close + 2 && text[address.end] === ")";
    if (isLink && !(isCut && open === 0) && /^[^[\]`<>|^$\n]*$/u.test(text.slice(open + 1, close))) links.set(close, address);
  }
  return links;
}

/** Up to white space, or the first bracket that closes what was not opened. */
export function untilBracket(text: string, start: number): number {
  let depth = 0;
  for (let index = start; index < Math.min(text.length, start + addressCharsMax + 1); index += 1) {
    const char = text[index];
    if (char === " " || char === "\n" || char === "\t") return index;
    if (char === "\\") index += 1;
    else if (char === "(" || char === "[") depth += 1;
    else if (char === ")" || char === "]") depth -= 1;
    if (depth < 0) return index;
  }
  return Math.min(text.length, start + addressCharsMax + 1);
}

interface Definition extends Pick<Address, "start" | "end" | "address"> {
  readonly label: string;
}

export function definitionsIn(text: string): Definition[] {
  return addressesIn(text).flatMap(({ bracket: close, start, end, address, isDefinition }) => {
    const label = isDefinition ? labelBefore(text, close) : undefined;
    return label === undefined ? [] : [{ label: labelOf(label), start, end, address }];
  });
}

/** The longest label that the bracket at `close` ends: it begins behind a bracket, and holds none without an escape. */
function labelBefore(text: string, close: number): string | undefined {
  if (isEscaped(text, close)) return undefined;
  let start: number | undefined;
  for (let at = close - 1; at >= Math.max(0, close - openCharsMax); at -= 1) {
    if (text[at] === "[") start = at + 1;
    if ((text[at] === "[" || text[at] === "]") && !isEscaped(text, at)) break;
  }
  return start === undefined ? undefined : text.slice(start, close);
}

function isEscaped(text: string, at: number): boolean {
  let marks = 0;
  while (text[at - 1 - marks] === "\\") marks += 1;
  return marks % 2 > 0;
}

/** As CommonMark compares two: in one letter case, where `ß` is `SS`. */
function labelOf(text: string): string {
  return text
    .toLowerCase()
    .toUpperCase()
    .replaceAll(/\n[ \t>]*|\s+/gu, " ")
    .replaceAll(/ +/gu, " ")
    .trim();
}

export interface Picture {
  readonly start: number;
  readonly end: number;
  /** More text may decide what it is. */
  readonly isOpen: boolean;
  /** Undefined where only a definition can say it. */
  readonly address: string | undefined;
  /** Definitions that may. */
  readonly labels: readonly string[];
}

/** Pictures in Markdown. Where it is not plain which bracket closes the text that is shown instead, every address in the rest of the paragraph may be the picture's. */
export function picturesIn(text: string, addresses: readonly Address[]): Picture[] {
  const found: Picture[] = [];
  const byBracket = new Map(addresses.filter((one) => !one.isDefinition).map((one) => [one.bracket, one]));
  const { closings, ends } = bracketsOf(text);
  let paragraph = 0;
  let covered = -1;
  for (let start = text.indexOf("!["); start >= 0; start = text.indexOf("![", start + 2)) {
    while ((ends[paragraph] ?? text.length) < start) paragraph += 1;
    const stop = ends[paragraph] ?? text.length;
    const close = closings.get(start + 1);
    const shown = close === undefined ? undefined : text.slice(start + 2, close);
    const isPlain = shown !== undefined && !/[`<]/u.test(shown);
    const own = isPlain
      ? [byBracket.get(close ?? 0)]
      : covered >= start
        ? []
        : [...byBracket.values()].filter((one) => one.bracket > start && one.start <= stop);
    if (!isPlain) covered = stop;
    for (const { end, address } of own.filter((one) => one !== undefined)) {
      const closing = /^\s{0,99}(?:(?:"[^"]{0,300}"|'[^']{0,300}'|\([^)]{0,300}\))\s{0,99})?\)/u.exec(text.slice(end, end + 999));
      found.push({ start, end: end + (closing?.[0].length ?? 0), isOpen: closing === null && stop === text.length, address, labels: [] });
    }
    if (!isPlain && stop === text.length) found.push({ start, end: stop, isOpen: true, address: undefined, labels: [] });
    if (close === undefined || shown === undefined) continue;
    const after = text.slice(close + 1, start + openCharsMax);
    const label = labelBehind.exec(after);
    const isOpen = label === null && openLabel.test(after);
    const labels = [shown, label?.[1] ?? ""].filter((one) => one !== "").map(labelOf);
    found.push({ start, end: close + 1 + (label?.[0].length ?? 0), isOpen, address: undefined, labels });
  }
  return found;
}

/** Which bracket closes which, by the index of the one that opens; and where paragraphs end, over which no brackets reach. */
function bracketsOf(text: string): { closings: ReadonlyMap<number, number>; ends: readonly number[] } {
  const closings = new Map<number, number>();
  const ends: number[] = [];
  let open: number[] = [];
  for (const { index, 0: mark } of text.matchAll(/\\.|[[\]]|\n[ \t]{0,99}(?=\n)/gsu)) {
    if (mark === "[") open.push(index);
    else if (mark === "]") {
      const opened = open.pop();
      if (opened !== undefined) closings.set(opened, index);
    } else if (mark.startsWith("\n")) {
      ends.push(index);
      open = [];
    }
  }
  return { closings, ends };
}
