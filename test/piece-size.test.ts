import { expect } from "chai";
import { PieceSize } from "../models/piece-size.ts";

/** The size after so many pieces, where a token costs `msPerToken` and a step 10 ms more. */
function settled(pieces: number, msPerToken: number, size = new PieceSize(300)): PieceSize {
  for (let piece = 0; piece < pieces; piece += 1) size.took(size.tokens, 10 + size.tokens * msPerToken);
  return size;
}

describe("pieces of prompts", () => {
  it("grow until a step lasts as long as it may, on any host", () => {
    expect(settled(20, 2).tokens).to.be.within(140, 146);
    expect(settled(20, 4).tokens).to.be.within(72, 74);
    expect(settled(20, 0.01).tokens).to.equal(512);
    expect(settled(20, 100).tokens).to.equal(60);
    expect(settled(20, 100, new PieceSize(50)).tokens).to.equal(10);
  });

  it("shrink where tokens cost more, as at the end of a long prompt", () => {
    const size = settled(20, 2);
    expect(settled(8, 4, size).tokens).to.be.within(72, 74);
  });

  it("follow no single step far, and the rest of a prompt not at all", () => {
    const size = settled(20, 2);
    size.took(142, 3_000);
    expect(size.tokens).to.be.above(70);
    const before = size.tokens;
    size.took(3, 300);
    expect(size.tokens).to.equal(before);
  });
});
