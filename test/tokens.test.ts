import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect } from "chai";
import fc from "fast-check";
import { Tokeniser } from "../classifiers/onnx/tokens.ts";
import { ownParts, windowsOf } from "../classifiers/onnx/windows.ts";

const tokeniser = new Tokeniser(new URL("../classifiers/tokenizer/", import.meta.url));

const pieces = fc.constantFrom(
  ...[
    "Ingrid",
    "o'clock",
    "naïve",
    "cafe\u0301",
    "Müller-Lüdenscheidt",
    "😀",
    "👩‍👩‍👧",
    "🏳️‍🌈",
    "你好",
    "東京タワー",
    "한국어",
    "שלום",
    "مرحبا بك",
    "नमस्ते",
    "Здравствуйте",
  ],
  ...[
    "\u200b",
    "\u202e",
    "\ufeff",
    "\u00ad",
    "\ud800",
    " ",
    "\n\n",
    "\t",
    "—",
    "...",
    "€5",
    "3.14",
    "foo_bar",
    "a@b.io",
    "x".repeat(90),
    "\u0000",
    "[CLS]",
    "ǅ",
    "ﬁ",
  ],
);
const texts = fc.array(fc.oneof(pieces, fc.string({ unit: "binary", maxLength: 6 })), { maxLength: 30 }).map((parts) => parts.join(""));

describe("tokens", () => {
  it("stand where they say: in order, never over another word, and never on a space", () => {
    fc.assert(
      fc.property(texts, (text) => {
        const { ids, cases, starts, ends } = tokeniser.tokensOf(text);
        expect([cases.length, starts.length, ends.length]).to.deep.equal([ids.length, ids.length, ids.length]);
        for (const [index, start] of starts.entries()) {
          const end = ends[index] ?? 0;
          expect(end).to.be.greaterThan(start);
          expect(end).to.be.at.most(text.length);
          expect(text.slice(start, end)).to.match(/^\P{White_Space}+$/u);
          const sameWord = index > 0 && starts[index - 1] === start;
          if (sameWord) expect(ends[index - 1]).to.equal(end);
          else if (index > 0) expect(start).to.be.at.least(ends[index - 1] ?? 0);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("leave out no letter and no digit, whatever the script", () => {
    fc.assert(
      fc.property(texts, (text) => {
        const { starts, ends } = tokeniser.tokensOf(text);
        for (const { index } of text.matchAll(/[\p{L}\p{Nd}]/gu)) {
          expect(
            starts.some((start, token) => start <= index && index < (ends[token] ?? 0)),
            `${index} of ${JSON.stringify(text)}`,
          ).to.equal(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("are of the word alone: the same wherever it stands", () => {
    fc.assert(
      fc.property(texts, texts, (before, text) => {
        const alone = tokeniser.tokensOf(text).ids;
        expect([...tokeniser.tokensOf(`${before}\n${text}`).ids.slice(-alone.length || Infinity)]).to.deep.equal([...alone]);
      }),
    );
  });

  it("never make a text's own words special", () => {
    const special = [101, 102, 103, 0, 2, 3, 4];
    for (const text of ["[CLS] [SEP] [MASK] [PAD]", "[unused1] [unused2]", "[CLS][SEP]"]) {
      expect(
        [...tokeniser.tokensOf(text).ids].filter((id) => special.includes(id)),
        text,
      ).to.deep.equal([]);
    }
  });

  it("see a word through what is not seen, and its accents", () => {
    const ids = (text: string): number[] => [...tokeniser.tokensOf(text).ids];
    expect(ids("ig\u200bno\u00adre")).to.deep.equal(ids("ignore"));
    expect(ids("cafe\u0301")).to.deep.equal(ids("café"));
    expect(ids("IGNORE")).to.deep.equal(ids("ignore"));
  });

  it("see a word through characters that they do not know, and leave one in another script unknown", () => {
    const ids = (text: string): number[] => [...tokeniser.tokensOf(text).ids];
    expect(ids("Ignore\u20e3 all\u20e3")).to.deep.equal(ids("Ignore all"));
    expect(ids("ignore\ua66e caf\u00e9\ua66e 4\ua66e2")).to.deep.equal(ids("ignore cafe 42"));
    for (const text of ["\ua66e", "\u13a0\u13a1", "_\ua66e"]) expect(ids(text), text).to.include(100);
  });

  it("see a word without end in pieces, not as one that is unknown", () => {
    const unknown = 100;
    expect([...tokeniser.tokensOf("ignoreinstructions".repeat(40)).ids]).to.not.include(unknown);
  });

  it("leave nothing of a text behind but its words", () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const held = (): number => {
      collect();
      return process.memoryUsage().heapUsed;
    };
    const before = held();
    for (let at = 0; at < 50; at += 1) tokeniser.tokensOf(`${" ".repeat(1_000_000)}internationalisation${at}`);
    expect(held() - before).to.be.below(10_000_000);
  });

  it("carry the letter case of their word", () => {
    const cases = (text: string): number[] => [...tokeniser.tokensOf(text).cases];
    expect([",", "anna", "Anna", "ANNA", "McDonald", "B52", "A"].map((word) => cases(word)[0])).to.deep.equal([0, 1, 2, 3, 4, 5, 2]);
  });
});

describe("windows", () => {
  const shape = fc.integer({ min: 16, max: 300 }).chain((size) => fc.tuple(fc.constant(size), fc.integer({ min: 0, max: size - 1 })));

  it("cover every token, in order, none longer than its size, each sharing the overlap with the one before", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5000 }), shape, (count, [size, overlap]) => {
        const windows = windowsOf(count, size, overlap);
        expect(windows[0]?.from ?? 0).to.equal(0);
        expect(windows.at(-1)?.to ?? 0).to.equal(count);
        for (const [index, { from, to }] of windows.entries()) {
          expect(to - from).to.be.within(1, size);
          if (index > 0) expect((windows[index - 1]?.to ?? 0) - from).to.equal(overlap);
        }
      }),
    );
  });

  it("have parts of their own that together are every token once", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5000 }), shape, (count, [size, overlap]) => {
        const windows = windowsOf(count, size, Math.floor(overlap / 2));
        const parts = ownParts(windows);
        expect(parts[0]?.from ?? 0).to.equal(0);
        expect(parts.at(-1)?.to ?? 0).to.equal(count);
        for (let index = 1; index < parts.length; index += 1) {
          const seam = parts[index]?.from ?? 0;
          expect(seam).to.equal(parts[index - 1]?.to);
          const [before, after] = [(windows[index - 1]?.to ?? 0) - seam, seam - (windows[index]?.from ?? 0)];
          expect(Math.abs(before - after), "as far from one edge as from the other").to.be.at.most(1);
        }
      }),
    );
  });
});
