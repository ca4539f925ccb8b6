import { expect } from "chai";
import fc from "fast-check";
import type { Segment } from "../server/pipeline/guard.ts";
import { type Passage, passage } from "../server/pipeline/passage.ts";
import { segment, type Wait, waitForEnd, waitForWhole } from "../server/pipeline/segment.ts";

async function* stream(pieces: readonly string[]): AsyncGenerator<Passage> {
  yield* pieces.map((piece) => passage(piece));
}

const segments = (pieces: readonly string[], waits: Wait[] = [], stops: string[] = []): Promise<Segment[]> =>
  Array.fromAsync(segment(stream(pieces), waits, () => stops));
const textOf = (parts: readonly Segment[]): string => parts.map((part) => part.passage.text).join("");

describe("segment()", () => {
  it("loses nothing and invents nothing, however the text is cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ maxLength: 8 })),
        fc.array(fc.string({ minLength: 1, maxLength: 4 }), { maxLength: 3 }),
        async (pieces, protectedTexts) => {
          const parts = await segments(pieces, [waitForWhole(protectedTexts)]);
          expect(textOf(parts)).to.equal(pieces.join(""));
          expect(parts.filter((part) => part.last)).to.have.length(1);
          expect(parts.at(-1)?.last).to.equal(true);
        },
      ),
    );
  });

  it("ends at the first stop text, wherever it was cut, and releases no part of it", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.stringMatching(/^[ab]{0,20}$/u),
        fc.stringMatching(/^[ab]{1,3}$/u),
        fc.array(fc.nat(20)),
        async (text, stop, cuts) => {
          const at = text.indexOf(stop);
          const expected = at < 0 ? text : text.slice(0, at);
          const edges = [0, ...cuts.filter((cut) => cut < text.length).toSorted((a, b) => a - b), text.length];
          const pieces = edges.slice(1).map((edge, index) => text.slice(edges[index], edge));
          expect(textOf(await segments(pieces, [], [stop]))).to.equal(expected);
        },
      ),
    );
  });

  it("learns the stop texts with the first text: a model that is loaded by this very call has none before", async () => {
    let stops: string[] = [];
    async function* loading(): AsyncGenerator<Passage> {
      stops = ["<end>"];
      yield* stream(["fine<en", "d>more"]);
    }
    expect(textOf(await Array.fromAsync(segment(loading(), [], () => stops)))).to.equal("fine");
  });

  it("never releases a part of a protected text", async () => {
    const text = "see <EMAIL_1_abc> and <EMAIL_2_abc>.";
    for (let cut = 0; cut <= text.length; cut += 1) {
      const parts = await segments([text.slice(0, cut), text.slice(cut)], [waitForWhole(["<EMAIL_1_abc>", "<EMAIL_2_abc>"])]);
      for (const part of parts) expect(part.passage.text.replaceAll(/<EMAIL_\d_abc>/gu, "")).to.not.match(/[<>]|EMAIL|abc/u);
    }
  });

  it("shows a guard what was released before and what waits behind", async () => {
    const [first, second] = await segments(["one two<", "A>"], [waitForWhole(["<A>"])]);
    expect(first).to.deep.include({ before: "", ahead: "<", last: false });
    expect(second).to.deep.include({ before: "one two", ahead: "" });
    expect(second?.passage.text).to.equal("<A>");
  });

  it("judges the whole answer at once when told to wait for its end", async () => {
    const parts = await segments(["a", "b", "c"], [waitForEnd]);
    expect(parts).to.have.length(1);
    expect(textOf(parts)).to.equal("abc");
  });

  it("holds back nothing that is not protected", async () => {
    const parts = await segments(["Hello", " ", "world"], [waitForWhole(["<A>"])]);
    expect(parts.map((part) => part.passage.text)).to.deep.equal(["Hello", " ", "world", ""]);
  });

  it("holds back all where its waits do not agree soon, and nothing once they do", async () => {
    let asked = 0;
    const wait: Wait = (text) => {
      asked += 1;
      return text.endsWith("x") ? text.length - 1 : text.length;
    };
    const parts = await segments([`a ${"x".repeat(1_000)}`, " b"], [wait]);
    expect(parts.map((part) => part.passage.text)).to.deep.equal([`a ${"x".repeat(1_000)} b`, ""]);
    expect(asked).to.be.below(50);
  });
});
