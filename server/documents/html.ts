import { type DefaultTreeAdapterTypes, defaultTreeAdapter, html, parse, parseFragment } from "parse5";
import { joined, type Passage, passage, rewrite, within } from "../pipeline/passage.ts";
import { UnreadableDocument } from "./document.ts";
import { backgroundOf, hides, StyleSheets, styleOf } from "./hidden.ts";

type Element = DefaultTreeAdapterTypes.Element;
type Node = DefaultTreeAdapterTypes.Node;

/** How deep elements may stand in each other: browsers stop there too, and a parser looks through all of them at each tag. */
const depthMax = 512;
const elementsMax = 50_000;
/** Files inside of files: attributes `srcdoc`. */
const nestedMax = 3;

const blocks = new Set(
  `address article aside blockquote body br button caption center dd details dialog dir div dl dt fieldset figcaption figure footer form frameset h1 h2 h3
  h4 h5 h6 head header hgroup hr html legend li main menu nav ol optgroup option p pre search section select summary table tbody td template textarea tfoot
  th thead title tr ul video`.split(/\s+/u),
);
/** What a browser does not show. Their text, where they have any, is code or stands in for something. */
const unseen = new Set([
  "script",
  "style",
  "template",
  "iframe",
  "noembed",
  "noframes",
  "noscript",
  "object",
  "audio",
  "video",
  "canvas",
  "datalist",
]);
/** Attributes that a reader may meet. */
const spoken = new Set(["alt", "title", "aria-label", "aria-description", "placeholder", "label", "summary", "value", "content"]);
/** Attributes that say how something looks or works, in lists of names and numbers. */
const codeAttributes = new Set([
  "class",
  "style",
  "srcset",
  "sizes",
  "rel",
  "d",
  "points",
  "viewbox",
  "transform",
  "coords",
  "sandbox",
  "allow",
]);

/** A stretch of text between two breaks. */
interface Block {
  readonly pieces: { readonly piece: Passage; readonly hidden: boolean }[];
}

/**
 * An HTML file as text: first what a reader sees, then, where text is hidden, the blocks that hold it as they stand in the file, then comments, attributes
 * that hold words, scripts and styles. Nothing with words is left out. Throws `UnreadableDocument`.
 */
export function readHtml(source: string, nested = 0): Passage {
  if (nested > nestedMax) throw new UnreadableDocument(`it holds pages more than ${nestedMax} deep in each other`);
  const { blocks: read, others } = walk(source, treeOf(source), nested);
  const seen = read.map(({ pieces }) => pieces.filter(({ hidden }) => !hidden));
  const mixed = read.filter(({ pieces }) => pieces.some(({ hidden }) => hidden));
  const text = (pieces: Block["pieces"]): Passage =>
    trimmed(
      joined(
        pieces.map(({ piece }) => piece),
        "",
      ),
    );
  const parts = [...seen.map(text), ...mixed.map(({ pieces }) => within("hidden text", text(pieces))), ...others];
  return joined(
    parts.filter((one) => one.text !== ""),
    "\n",
  );
}

/** An entity as it is shown. */
export function decoded(entity: string): string {
  const [node] = parseFragment(entity).childNodes;
  return node !== undefined && "value" in node ? node.value : entity;
}

function treeOf(source: string): Node {
  let depth = 0;
  let elements = 0;
  return parse(source, {
    scriptingEnabled: false,
    sourceCodeLocationInfo: true,
    treeAdapter: {
      ...defaultTreeAdapter,
      onItemPush() {
        depth += 1;
        elements += 1;
        if (depth > depthMax) throw new UnreadableDocument(`its elements stand more than ${depthMax} deep in each other`);
        if (elements > elementsMax) throw new UnreadableDocument(`it has more than ${elementsMax} elements`);
      },
      onItemPop() {
        depth -= 1;
      },
    },
  });
}

interface Surroundings {
  readonly hidden: boolean;
  readonly background: string;
  readonly preformatted: boolean;
}

/** One pass over the tree, in the order of the file. */
function walk(source: string, root: Node, nested: number): { blocks: Block[]; others: Passage[] } {
  const read: Block[] = [{ pieces: [] }];
  const others: Passage[] = [];
  const sheets = new StyleSheets();
  const open = (): void => {
    if (read.at(-1)?.pieces.length !== 0) read.push({ pieces: [] });
  };
  const enter = (node: Node, around: Surroundings): void => {
    if ("value" in node) read.at(-1)?.pieces.push({ piece: collapsed(pieceOf(source, node), around.preformatted), hidden: around.hidden });
    else if (node.nodeName === "#comment" && "data" in node)
      others.push(within("comment", trimmed(pieceOf(source, { ...node, value: node.data }))));
    else if ("tagName" in node) element(node, around);
    else if ("childNodes" in node) for (const child of node.childNodes) enter(child, around);
  };
  const element = (node: Element, around: Surroundings): void => {
    const { tagName: tag, attrs } = node;
    const attribute = (name: string): string => attrs.find((one) => one.name === name)?.value ?? "";
    for (const { name, value } of attrs) others.push(...attributeOf(node, name, value, nested));
    if (tag === "script" || tag === "style") {
      const text = node.childNodes.flatMap((child) => ("value" in child ? [pieceOf(source, child)] : []));
      if (tag === "style") sheets.add(text.map((one) => one.text).join(""));
      others.push(...text.map((one) => within(tag, trimmed(one))));
      return;
    }
    const classes = attribute("class").split(/\s+/u);
    const style = new Map([...sheets.for(tag, { id: attribute("id"), classes }), ...styleOf(attribute("style"))]);
    if (tag === "font" && attribute("color") !== "") style.set("color", attribute("color").toLowerCase());
    if (attribute("bgcolor") !== "" && !style.has("background-color")) style.set("background-color", attribute("bgcolor").toLowerCase());
    const background = backgroundOf(style) ?? around.background;
    const hidden = around.hidden || unseen.has(tag) || attrs.some(({ name }) => name === "hidden") || hides(style, background);
    const inside = { hidden, background, preformatted: around.preformatted || tag === "pre" || tag === "textarea" };
    const breaks =
      (blocks.has(tag) && node.namespaceURI === html.NS.HTML) || /^(?:block|flex|grid|list-item|table)/u.test(style.get("display") ?? "");
    if (breaks) open();
    for (const child of "content" in node ? (node.content as Element).childNodes : node.childNodes) enter(child, inside);
    if (breaks) open();
  };
  enter(root, { hidden: false, background: "white", preformatted: false });
  return { blocks: read, others: others.filter((one) => one.text !== "") };
}

/** An attribute that holds words, and so may speak to whoever reads the file. */
function attributeOf(node: Element, name: string, value: string, nested: number): Passage[] {
  const place = node.sourceCodeLocation?.attrs?.[name];
  const whole = (text: string): Passage => stoodAt(text, place?.startOffset ?? 0, place?.endOffset ?? 0);
  if (name === "srcdoc") return [within("attribute srcdoc", whole(readHtml(value, nested + 1).text))];
  if (codeAttributes.has(name)) return [];
  const words = value.split(/\s+/u).filter((word) => /\p{L}/u.test(word)).length;
  return words >= 2 || (words > 0 && spoken.has(name))
    ? [within(spoken.has(name) ? `attribute ${name}` : "attribute", trimmed(whole(value)))]
    : [];
}

/** A text node or comment with the places of its characters, where entities did not change it. */
function pieceOf(source: string, node: { value: string; sourceCodeLocation?: { startOffset: number; endOffset: number } | null }): Passage {
  const { startOffset, endOffset } = node.sourceCodeLocation ?? { startOffset: 0, endOffset: source.length };
  const at = [0, "<!--".length].find((skipped) => source.startsWith(node.value, startOffset + skipped));
  return at === undefined ? stoodAt(node.value, startOffset, endOffset) : passage(node.value, startOffset + at);
}

/** A text that stands for another one, from `start` to `end`. */
function stoodAt(text: string, start: number, end: number): Passage {
  return rewrite(passage(" ".repeat(end - start), start), [{ span: { start: 0, end: end - start }, replacement: text }]);
}

/** White space as a browser shows it. */
function collapsed(source: Passage, preformatted: boolean): Passage {
  if (preformatted) return source;
  return rewrite(
    source,
    [...source.text.matchAll(/[\t\n\f\r ]{2,}|[\t\n\f\r]/gu)].map(({ index, 0: space }) => ({
      span: { start: index, end: index + space.length },
      replacement: " ",
    })),
  );
}

function trimmed(source: Passage): Passage {
  const start = source.text.length - source.text.trimStart().length;
  const end = source.text.trimEnd().length;
  const edits = [
    { span: { start: 0, end: start }, replacement: "" },
    { span: { start: Math.max(start, end), end: source.text.length }, replacement: "" },
  ];
  return rewrite(
    source,
    edits.filter(({ span }) => span.end > span.start),
  );
}
