import { expect } from "chai";
import fc from "fast-check";
import { type Edit, passage, rewrite, spanInOriginal } from "../server/pipeline/passage.ts";

const editsOf = (text: string) =>
  fc.array(fc.tuple(fc.nat(text.length), fc.nat(6), fc.string({ maxLength: 5 })), { maxLength: 5 }).map((raw) => {
    const edits: Edit[] = [];
    let at = 0;
    for (const [gap, length, replacement] of raw) {
      const start = Math.min(text.length, at + gap);
      const end = Math.min(text.length, start + length);
      if (start < end) edits.push({ span: { start, end }, replacement });
      at = end;
    }
    return edits;
  });

describe("a passage", () => {
  it("remembers where its text stood before it was rewritten, also twice", () => {
    fc.assert(
      fc.property(
        fc
          .string({ minLength: 1, maxLength: 40 })
          .chain((text) => fc.tuple(fc.constant(text), editsOf(text)))
          .chain(([text, edits]) => {
            const once = rewrite(passage(text, 7), edits);
            return fc.tuple(fc.constant(text), fc.constant(once), editsOf(once.text));
          }),
        ([text, once, edits]) => {
          const twice = rewrite(once, edits);
          for (const run of twice.runs) {
            const now = twice.text.slice(run.start, run.start + run.length);
            const { start, end } = spanInOriginal(twice, { start: run.start, end: run.start + run.length });
            expect(start).to.be.at.least(7);
            expect(end).to.be.at.most(7 + text.length);
            // A stretch that was never replaced is found exactly.
            if (run.length > 0 && text.slice(start - 7, end - 7) === now) expect(end - start).to.equal(now.length);
          }
          const kept = twice.runs.filter((run) => run.length === run.originalLength);
          expect(kept.map((run) => run.originalStart)).to.deep.equal(kept.map((run) => run.originalStart).toSorted((a, b) => a - b));
        },
      ),
    );
  });

  it("takes a replacement for the whole of what it replaced", () => {
    const masked = rewrite(passage("card 4111 now"), [{ span: { start: 5, end: 9 }, replacement: "<CARD>" }]);
    expect(masked.text).to.equal("card <CARD> now");
    expect(spanInOriginal(masked, { start: 5, end: 11 })).to.deep.equal({ start: 5, end: 9 });
    expect(spanInOriginal(masked, { start: 12, end: 15 })).to.deep.equal({ start: 10, end: 13 });
  });

  it("keeps places right behind a removal", () => {
    const stripped = rewrite(passage("a\u200bbc"), [{ span: { start: 1, end: 2 }, replacement: "" }]);
    expect(stripped.text).to.equal("abc");
    expect(spanInOriginal(stripped, { start: 1, end: 3 })).to.deep.equal({ start: 2, end: 4 });
  });
});
