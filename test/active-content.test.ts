import { expect } from "chai";
import fc from "fast-check";
import { activeContentInAnswer, activeContentLeft } from "../server/guards/active-content.ts";
import { cut, throughGate } from "./support/gate.ts";

const guards = [activeContentInAnswer({ action: "mask" }), activeContentLeft({ action: "mask" })];
const notice = "[active content withheld]";
const fence = "```";
const shown = async (text: string, lengths = [text.length || 1]): Promise<string> =>
  (await throughGate(cut(text, lengths), guards)).left.join("");

describe("active content in an answer", () => {
  const active = [
    "<script>",
    "<SCRIPT src='https://a.example/x.js'>",
    "<script/x>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '<a title=">" onclick="x()">',
    "<a href='javascript:x()'>",
    '<a href="java\nscript:x()">',
    '<a href="&#106;avascript&colon;x()">',
    '<iframe src="https://a.example">',
    "<object data=x>",
    "<embed src=x>",
    '<meta http-equiv="refresh" content="0;url=https://a.example">',
    '<base href="https://a.example/">',
    '<link rel="stylesheet" href="https://a.example/x.css">',
    "<style>",
    '<p style="background:url(https://a.example/x)">',
    "<img src=x onerror          =alert(1)>",
    "<img src=x onerror\n\n\n\n\n\n\n\n\n\n\n=alert(1)>",
    '<p style="background:&#117;rl(https://a.example/x)">',
    "<p style='background:image-set(\"https://a.example/x\" 1x)'>",
    "<p style=\"font-family:'>';background:url(https://a.example/x)\">",
    '<p style="background:u\\72l(https://a.example/x)">',
    '<p style="background:u&bsol;72l&lpar;https://a.example/x)">',
    "<p style=background:&#117&#114&#108&#40https://a.example/x)>",
    '<p style="background:linear-gradient(red, blue), url(https://a.example/x)">',
    '<p style="width:calc(1px); background:image-set(x)">',
    '<p style="font-family: &quot;a&quot;; background:url(https://a.example/x)">',
    '<p title="style=" style="width:expression(x)">',
    "<p title=' style=\"' style='background:url(https://a.example/x)'>",
    "<p/style='@import x'>",
    '<p style="background:\\63 alc(x)">',
    '<b "><img alt=">" onerror=alert(1)>',
    '<img a" alt=">" onerror=alert(1)>',
    '<img x=y=" z=">" onerror=alert(1)>',
    '<img =" z=">" onerror=alert(1)>',
    '<img alt=\u00a0" z=">" onerror=alert(1)>',
    '<! "><img alt=">" onerror=alert(1)>',
    '<svg><animate attributeName="href" values="x">'.slice(5),
    '<form action="data:text/html;base64,PHNjcmlwdD4=">',
    "<javascript:alert(1)>",
    "<svg:script>",
    "<?xml-stylesheet href='x'?>",
    "](javascript:x())".slice(0, -1),
    "](<javascript:x>)",
    "]( JaVa&#x53;cript\\:x)",
    "](data:text/html;base64,PHNj)",
    "]: vbscript:x",
    "](\njavascript:x)",
    "](\n> javascript:x)",
    "]: \n> > <javascript:x>",
    "]( \n <javascript:x>)",
    "]:\n  javascript:x",
  ];
  for (const piece of active) {
    it(`is withheld: ${piece.replaceAll("\n", " ")}`, async () => {
      const out = await shown(`so ${piece} it`);
      expect(out, out).to.include(notice).and.to.match(/^so /u);
      expect(out).to.not.match(/<script|onerror|onload|onclick|script\s*:|<iframe|<object|url=|<base|<link|<style|data:text/iu);
    });
  }

  it("is withheld also where a tag is not finished when the answer ends", async () => {
    expect(await shown("so <img src=x onerror=alert(1) ")).to.equal(`so ${notice}`);
    expect(await shown("so <a title=' > <script>alert(1)</script>")).to.not.include("<script");
  });

  it("gets a space behind its beginning where a tag is longer than what is waited for", async () => {
    for (const quote of ['alt="', "alt='", 'alt=">', "alt"])
      for (const lengths of [[1], [7], [3_000]]) {
        const out = await shown(`so <img ${quote}${"a".repeat(1_100)}${quote.slice(4, 5)} onerror=alert(1)>`, lengths);
        expect(out, out).to.match(/^so < img /u);
      }
  });

  const harmless = [
    '<p style="color: red; margin: 0 1px" title="a &amp; (b)">x</p>',
    "If a < b and c > d, then a<b is so.",
    "See [the page](https://a.example/x) and <b>bold</b> and <https://a.example>.",
    '<a href="https://a.example" title="only text">x</a> <br/> <table><tr><td>1</td></tr></table>',
    '<a href="https://shop.example/list?style=modern&amp;size=4(2)">list</a>',
    "<https://shop.example/list?style=modern&size=4>",
    '<span style="color: rgb(255, 0, 0); background: rgba(0, 0, 0, .5)">red</span>',
    '<p style="width: calc(100% - var(--gap)); transform: rotate(3deg) translateX(2px)">x</p>',
    '<p style="background: linear-gradient(hsl(0, 1%, 2%), red); font-family: &quot;Arial&quot;">x</p>',
    "In JavaScript: a scripting language. The list[0](x) and a]: b.",
    `Write this:\n\n${fence}html\n<script>alert(1)</script>\n<img onerror=x>\n${fence}\n\nDone.`,
    "~~~\n<script>\n~~~\n",
    "Use `<script>` or ``<img onerror=`x`>`` here.",
    "1. First:\n\n   ```html\n   <script>\n\n   ```\n2. Next",
  ];
  for (const text of harmless) {
    it(`is none, and stays: ${text.slice(0, 40).replaceAll("\n", " ")}`, async () => {
      expect(await shown(text)).to.equal(text);
      expect(await shown(text, [1])).to.equal(text);
    });
  }

  const disguised: Record<string, string> = {
    "after the fence": `${fence}\nx\n${fence}\n<script>`,
    "in a fence that a shorter one does not close, after its end": `${fence}\`\nx\n${fence}\n${fence}\`\n<script>`,
    "in what only looks like a fence, behind a backtick in its name": `${fence}a\`b\n<script>`,
    "in a fence inside of an HTML block": `<div>\n${fence}\n<script>`,
    "in a fence behind a list mark, at the margin": `- ${fence}\n<script>\n${fence}\n<script>`,
    "in a fence of a list that its text leaves": `- x\n  ${fence}\n<script>`,
    "after a fence of a list that closes in the list": `- ${fence}\n  x\n  ${fence}\n<script>`,
    "in a fence of a quotation that its text leaves": `> ${fence}\n<script>`,
    "between backticks of which the first has its partner in the line before": "a ` b\nc ` <script> ` d",
    "between backticks that an attribute holds": '<a title="`"> <script> `',
    "between an escaped backtick and another": "a \\` <script> ` b",
    "in the cells of a table": "| a | b |\n|---|---|\n| `x | <script> ` |",
    "between backticks of which one is taken out with an address": 'see [a](javascript:"`") <script> `',
    "in a fence that an address makes as it is taken out": `${fence}](javascript:\`)\nx\n${fence}\n<script>\n${fence}`,
    "in a fence that only stands in a tag which is taken out": `a <img onerror="\n${fence}\n"> <script>\n`,
    "after an open preformatted block": `<textarea>\n\n${fence}\n</textarea><script>`,
    "behind an indented fence that continues a paragraph": `a\n    ${fence}\n<script>`,
  };
  for (const [where, text] of Object.entries(disguised)) {
    it(`is withheld ${where}`, async () => {
      expect((await shown(text)).split("<script>").length - 1, await shown(text)).to.equal(0);
    });
  }

  it("leaves no prefix of it, and the same text however the answer is cut", async () => {
    const piece = fc.constantFrom(
      ...active,
      ...harmless,
      "`",
      "``",
      `\n${fence}\n`,
      "\n",
      "\n\n",
      " text. ",
      "<",
      ">",
      "<a ",
      '"',
      "]",
      "](",
      "java",
      "script:",
      "| ",
      "\n- ",
      "on",
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
        async (parts, lengths) => {
          const text = parts.join("");
          expect(await shown(text, lengths)).to.equal(await shown(text));
        },
      ),
      { numRuns: 500 },
    );
  }).timeout(60_000);

  it("leaves prose and code readable in which a tag only seems to begin, and never blocks it", async () => {
    const long = "It rained. ".repeat(110);
    const blocking = [activeContentInAnswer({ action: "block" }), activeContentLeft({ action: "block" })];
    for (const lengths of [[1], [7], [3_000]])
      for (const those of [guards, blocking]) {
        const left = async (text: string): Promise<string> => (await throughGate(cut(text, lengths), those)).left.join("");
        expect(await left(`If a<b then c. ${long}`)).to.equal(`If a< b then c. ${long}`);
        expect(await left(`So $0<x<1$ is. ${long}`)).to.equal(`So $0< x<1$ is. ${long}`);
        const code = `${fence}python\nif n<a or m:\n  pass\n${fence}\n\n${long.repeat(5)}`;
        expect(await left(code)).to.equal(code);
      }
  });

  it("can block, and can only watch", async () => {
    const text = "so <script>x</script>";
    const blocked = await throughGate(cut(text, [2]), [activeContentInAnswer({ action: "block" })]);
    expect([blocked.blocked, blocked.left.join("")]).to.deep.equal([true, "so "]);
    expect((await throughGate(cut(text, [2]), [activeContentInAnswer({ action: "shadow" })])).left.join("")).to.equal(text);
  });

  it("costs no more than ten seconds in a hundred thousand characters that come three by three", async () => {
    for (const text of [`${fence}\n${"<a\n onclick=x>\n".repeat(7_000)}`, "`<b onclick=x>`\n".repeat(6_000)]) {
      const begunMs = performance.now();
      expect(await shown(text, [3])).to.equal(text);
      expect(performance.now() - begunMs, text.slice(0, 20)).to.be.below(10_000);
    }
  }).timeout(60_000);

  it("costs no more than two seconds in a hundred thousand characters of hostile text", async () => {
    for (const piece of [
      "<a",
      "](",
      '<a "',
      "`",
      "<a style=",
      "```\n",
      "&#106",
      "<b>",
      "[a](<a",
      "<a '>",
      '<a =">',
      "style=",
      '<a style=" ',
    ]) {
      const begunMs = performance.now();
      await shown(piece.repeat(100_000 / piece.length));
      expect(performance.now() - begunMs, piece).to.be.below(2_000);
    }
  }).timeout(60_000);
});
