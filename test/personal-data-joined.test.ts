import { expect } from "chai";
import fc from "fast-check";
import { type Entity, type Label, labels } from "../classifiers/classifier.ts";
import { findAnnounced } from "../classifiers/pii/context.ts";
import { join } from "../classifiers/pii/join.ts";
import { testClassifiers } from "./support/classifiers.ts";

const entity = fc
  .record({
    start: fc.nat(60),
    length: fc.integer({ min: 1, max: 20 }),
    label: fc.constantFrom(...labels),
    score: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ start, length, label, score }): Entity => ({ start, end: start + length, label, score }));
const list = fc.array(entity, { maxLength: 8 });

describe("personal data from several finders", () => {
  it("is one list in order, none over another, and nothing is left out that touches none of it", () => {
    fc.assert(
      fc.property(list, list, list, (first, second, third) => {
        const kept = join(first, second, third);
        for (const [index, one] of kept.entries()) if (index > 0) expect(one.start).to.be.at.least(kept[index - 1]?.end ?? 0);
        for (const one of [...first, ...second, ...third]) {
          const over = kept.filter(({ start, end }) => start < one.end && one.start < end);
          expect(over.some(({ start, end }) => end - start >= one.end - one.start)).to.equal(true);
        }
      }),
    );
  });

  it("keeps the longer, and of two as long the one that is trusted more", () => {
    const at = (start: number, end: number, label: Label): Entity => ({ start, end, label, score: 1 });
    expect(join([at(4, 8, "PHONE")], [at(0, 10, "ADDRESS")])).to.deep.equal([at(0, 10, "ADDRESS")]);
    expect(join([at(0, 5, "CREDIT_CARD")], [at(0, 5, "PHONE")])).to.deep.equal([at(0, 5, "CREDIT_CARD")]);
  });

  const announced: readonly (readonly [text: string, value: string, label: Label])[] = [
    ["Passport no. C01X00T47, issued in Bonn", "C01X00T47", "GOV_ID"],
    ["my driver's license number is D123-4567-8901", "D123-4567-8901", "GOV_ID"],
    ["MRN: 88-1203-B", "88-1203-B", "MEDICAL_ID"],
    ["Account number 004417392281", "004417392281", "BANK_ACCOUNT"],
    ["routing number: 021000021.", "021000021", "BANK_ACCOUNT"],
    ["SWIFT: DEUTDEFF500", "DEUTDEFF500", "BANK_ACCOUNT"],
    ["VIN 1HGCM82633A004352", "1HGCM82633A004352", "VEHICLE_ID"],
    ["license plate: B-MW 1234", "B-MW 1234", "VEHICLE_ID"],
    ["the CVV is 371", "371", "CREDIT_CARD"],
    ["PIN: 4471", "4471", "CREDENTIAL"],
    ["DOB 03/11/1984", "03/11/1984", "DATE_OF_BIRTH"],
    ["born on 4 May 1987 in Oslo", "4 May 1987", "DATE_OF_BIRTH"],
  ];
  for (const [text, value, label] of announced) {
    it(`is what the words before say: ${text}`, () => {
      const start = text.indexOf(value);
      expect(findAnnounced(text)).to.deep.equal([{ start, end: start + value.length, label, score: 1 }]);
    });
  }

  for (const text of [
    "The passport office opens at 9.",
    "Pin the notice to board 12 please.",
    "a VIN decoder for 40 brands",
    "born in 1987",
    "account numbers are printed on page 4",
  ]) {
    it(`is not: ${text}`, () => {
      expect(findAnnounced(text)).to.deep.equal([]);
    });
  }

  it("looks at a megabyte in no time", () => {
    for (const piece of ["passport no ", "born on ", "1 ", "pin: ", "a-", "VIN 1-"]) {
      const startedMs = performance.now();
      findAnnounced(piece.repeat(1_000_000 / piece.length));
      expect(performance.now() - startedMs, piece).to.be.below(2_000);
    }
  });

  it("has names, places and dates from the model, and numbers with a check sum from patterns", async () => {
    const text =
      "On 3 March Dr. Amara Okafor of Northfield Clinic in Leeds paid with card 4111 1111 1111 1111 and wrote to amara@example.org.";
    const { entities, tokensTotal, tokensScanned } = await (await testClassifiers()).pii.judge(text);
    const found = entities.map(({ start, end, label }) => `${label} ${text.slice(start, end)}`);
    expect(found).to.include.members(["CREDIT_CARD 4111 1111 1111 1111", "EMAIL amara@example.org"]);
    for (const word of ["Amara Okafor", "Leeds", "3 March"])
      expect(
        found.some((one) => one.includes(word)),
        word,
      ).to.equal(true);
    expect(tokensScanned).to.equal(tokensTotal);
  });

  it("is found at the seams of the windows of a long text", async () => {
    const { pii } = await testClassifiers();
    const filler = "The boat left the harbour and the crew had soup. ";
    for (const words of [22, 23, 24, 25, 26]) {
      const text = `${filler.repeat(words)}Yesterday Ingrid Solberg called. ${filler.repeat(30)}`;
      const start = text.indexOf("Ingrid");
      const { entities } = await pii.judge(text);
      expect(
        entities.some((one) => one.start <= start && one.end >= start + "Ingrid Solberg".length),
        String(words),
      ).to.equal(true);
    }
  });
});
