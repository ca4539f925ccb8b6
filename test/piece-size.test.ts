import { expect } from "chai";
import { PieceSize } from "../models/piece-size.ts";

/** The size after so many pieces, where a token costs `msPerToken` and a step 10 ms more. */
function settled(pieces: number, msPerToken: number, size = new PieceSize(300)): PieceSize {
  for (let piece = 0; piece < pieces; piece += 1) size.took(size.tokens, 10 + size.tokens * msPerToken);
  return size;
}

describe("pieces of prompts", () => {
  it("grow until a step lasts as long as it may, by whole tiles, on any host", () => {
    expect(settled(20, 2).tokens).to.equal(128);
    expect(settled(20, 4).tokens).to.equal(64);
    expect(settled(20, 0.01).tokens).to.equal(512);
    expect(settled(20, 100).tokens).to.equal(64);
    expect(settled(20, 100, new PieceSize(48)).tokens).to.equal(12);
    expect(settled(20, 1, new PieceSize(48)).tokens).to.be.within(36, 38);
  });

  it("shrink where tokens cost more, as at the end of a long prompt", () => {
    const size = settled(20, 2);
    expect(settled(8, 4, size).tokens).to.equal(64);
  });

  it("leave no small rest", () => {
    const size = settled(20, 2);
    expect(size.next(1_000)).to.equal(128);
    expect(size.next(193)).to.equal(128);
    expect(size.next(192)).to.equal(192);
    expect(size.next(40)).to.equal(40);
  });

  it("follow no single step far, and the rest of a prompt not at all", () => {
    const size = settled(20, 2);
    size.took(142, 3_000);
    expect(size.tokens).to.equal(64);
    const before = size.tokens;
    size.took(3, 300);
    expect(size.tokens).to.equal(before);
  });
});
