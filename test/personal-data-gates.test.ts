import { generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import { array, asyncProperty, assert as check, constantFrom, integer, oneof } from "fast-check";
import { patternLabels as labels } from "../classifiers/classifier.ts";
import { delicateInAnswer } from "../server/guards/delicate.ts";
import { personalDataInAnswer, personalDataInPrompt } from "../server/guards/personal-data.ts";
import type { Prompt } from "../server/pipeline/guard.ts";
import { inspect } from "../server/pipeline/inspect.ts";
import { newPseudonyms, restore } from "../server/pipeline/pseudonyms.ts";
import { testClassifiers } from "./support/classifiers.ts";
import { cut, said, testGates, throughGate } from "./support/gate.ts";

import { dressed, found, hiddenCards, values } from "./support/personal-values.ts";

const { pii, delicate } = await testClassifiers();
const asking = { caller: "app" };

describe("personal data at the output gate", () => {
  const guard = personalDataInAnswer(pii, { action: "mask", labels });
  const filler = constantFrom(
    "Sure, ",
    "the number is ",
    "password: ",
    "call ",
    "then\n\n",
    "und dann ",
    "是的,",
    "🙂 ",
    "(",
    "42 ",
    "DE ",
    "1234 ",
    "0.4532015112830366 ",
    "x@",
    "...",
    "-----BEGIN ",
  );
  const piece = oneof(
    filler,
    constantFrom(...values.map(([, value]) => `${value} `)),
    constantFrom(...values.map(([, value]) => `${value}. `)),
    constantFrom(...Object.keys(dressed), ...hiddenCards).map((text) => `${text} `),
  );

  it("leaves the same text however the answer is cut into pieces", async () => {
    await check(
      asyncProperty(
        array(piece, { maxLength: 8 }),
        array(integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
        async (parts, lengths) => {
          const text = parts.join("");
          const { left } = await throughGate(cut(text, lengths), [guard]);
          const { left: whole } = await throughGate([text], [guard]);
          expect(left.join("")).to.equal(whole.join(""));
        },
      ),
      { numRuns: 1000 },
    );
  }).timeout(60_000);

  it("leaves the same text where a cut would leave a shorter number behind", async () => {
    const text = "**Phone:** 4155552671 06 12 34 56 78 4111 1111 1111\t1111 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 06.12.34.56.78 ";
    const [whole, cutUp] = [await throughGate([text], [guard]), await throughGate(cut(text, [1]), [guard])];
    expect(cutUp.left.join("")).to.equal(whole.left.join(""));
  });

  it("lets no value out that hidden characters split, in whatever pieces it comes", async () => {
    const gates = await testGates();
    const answers = [
      "card 4111 1111 \u200b1111 1111 ok",
      "mail john@exam\u200bple.com ok",
      "to DE89 3704 0044 0532\u00ad 0130 00 ok",
      "no 4\u00001 11 1111 1111 1111 ok",
      "mail alice&#64;example.com ok",
      "mail alice&commat;example.com ok",
      "no 4111\\u00201111&#32;1111&nbsp;1111 ok",
      "no 4111 **1111** 1111 1111 ok",
    ];
    const [mail, number] = ["mail [EMAIL] ok", "no [CREDIT_CARD] ok"];
    const masked = ["card [CREDIT_CARD] ok", mail, "to [BANK_ACCOUNT] ok", number, mail, mail, number, number];
    for (const [index, text] of answers.entries())
      for (const length of [1, 2, 3, 7, 100]) {
        const { left } = await throughGate(cut(text, [length]), gates.output);
        expect(left.join(""), `${text} by ${length}`).to.equal(masked[index]);
      }
  });

  it("lets no part of a value out, in whatever words and pieces it comes", async () => {
    await check(
      asyncProperty(
        filler,
        constantFrom(...values),
        array(integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
        async (before, [, value], lengths) => {
          const { left } = await throughGate(cut(`${before} is ${value} and more`, lengths), [guard]);
          expect(left.join("")).to.match(/is \[[A-Z_]+\] and more$/u);
        },
      ),
      { numRuns: 500 },
    );
  }).timeout(60_000);

  it("lets no line or sentence of a key or token out, whether guards judge as it streams or by the sentence, however it is cut", async () => {
    const key = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const claims = Buffer.from(JSON.stringify({ sub: "84732", roles: Array.from({ length: 40 }, (_, index) => `role-${index * 7919}`) }));
    const token = `eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.${claims.toString("base64url")}.${"s3cR_t".repeat(57)}`;
    expect(token.length).to.be.above(1_000);
    const texts = [
      [`Here is the key:\n${key}\nThere it is.`, "Here is the key:\n[CREDENTIAL]\n\nThere it is."],
      [`Here is half of it:\n${key.slice(0, 600)}`, "Here is half of it:\n[CREDENTIAL]"],
      [`Your token: ${token} is new.`, "Your token: [CREDENTIAL] is new."],
    ] as const;
    for (const guards of [
      [guard],
      [personalDataInAnswer(pii, { action: "mask", labels: [...labels, "PERSON", "ADDRESS"] })],
      [delicateInAnswer(delicate, { action: "block", threshold: 1 }), guard],
    ])
      for (const [text, expected] of texts)
        for (const lengths of [[7, 90], [text.length]])
          expect((await throughGate(cut(text, lengths), guards)).left.join("")).to.equal(expected);
  }).timeout(120_000);

  it("does not make ordinary prose wait longer than its last word", async () => {
    const words = "It was the best of times, it was the worst of times; the year was 1859.".split(/(?<= )/u);
    const { left } = await throughGate(words, [guard]);
    expect(left.filter((one) => one !== "").length).to.be.at.least(words.length - 2);
  });

  it("blocks when the policy says so", async () => {
    const { left, blocked } = await throughGate(
      ["Write to ", "a@b.io", " now"],
      [personalDataInAnswer(pii, { action: "block", labels: ["EMAIL"] })],
    );
    expect({ left: left.join(""), blocked }).to.deep.equal({ left: "Write to ", blocked: true });
  });

  it("takes a placeholder for none, and what begins like one for a value", async () => {
    const says = async (text: string): Promise<string> => (await throughGate([text], [guard])).left.join("");
    expect(await says("password: <EMAIL_1_abcdef> ok")).to.equal("password: <EMAIL_1_abcdef> ok");
    expect(await says("password: <EMAIL_1_abcdef>hunter22 ok")).to.equal("password: [CREDENTIAL] ok");
  });

  it("looks only for the labels that the policy names", async () => {
    const { left } = await throughGate(["a@b.io, 078-05-1120"], [personalDataInAnswer(pii, { action: "mask", labels: ["GOV_ID"] })]);
    expect(left.join("")).to.equal("a@b.io, [GOV_ID]");
  });
});

describe("personal data at the input gate", () => {
  const promptOf = (...texts: string[]): Prompt => ({
    messages: texts.map((text, index) => said(text, "user", index)),
    pseudonyms: newPseudonyms(
      texts.map((text) => said(text)),
      "app",
    ),
  });

  it("gives the model one placeholder for one value, over all messages, and puts the values back", async () => {
    const asked = await inspect(
      [personalDataInPrompt(pii, { action: "mask", labels })],
      promptOf("Mail a@b.io.", "Is a@b.io or c@d.io right?"),
      asking,
    );
    if (asked.action !== "pass") throw new Error(asked.action);
    const [first, second] = asked.subject.messages.map((message) => message.passage.text);
    expect(first).to.match(/^Mail <EMAIL_1_\w{6}>\.$/u);
    expect(second).to.match(/^Is <EMAIL_1_\w{6}> or <EMAIL_2_\w{6}> right\?$/u);
    expect(restore(second ?? "", asked.subject.pseudonyms)).to.equal("Is a@b.io or c@d.io right?");
  });

  it("restores any text that held values, whatever stands around them", async () => {
    await check(
      asyncProperty(
        array(oneof(constantFrom(...values.map(([, value]) => value)), constantFrom(" and ", "<EMAIL_1_", "$&", "\n")), { maxLength: 8 }),
        async (parts) => {
          const text = parts.join(" ");
          const prompt = promptOf(text);
          const verdict = await personalDataInPrompt(pii, { action: "mask", labels }).inspect(prompt, asking);
          if (verdict.action !== "rewrite") {
            expect(found(text)).to.deep.equal([]);
            return;
          }
          const masked = verdict.subject.messages[0]?.passage.text ?? "";
          expect(found(masked)).to.deep.equal([]);
          expect(restore(masked, verdict.subject.pseudonyms)).to.equal(text);
        },
      ),
      { numRuns: 200 },
    );
  }).timeout(60_000);

  it("masks a value that stands inside something longer that the policy does not name", async () => {
    const text = "4111 1111 1111 1111 4111 1111 1111 1111 jürgen.o'brien+bank@mail.exämple.co.uk <EMAIL_1_ AKIAIOSFODNN7EXAMPLE  and ";
    const all = await pii.judge(text);
    expect(all.entities.map((one) => text.slice(one.start, one.end))).to.not.include("AKIAIOSFODNN7EXAMPLE");
    const verdict = await personalDataInPrompt(pii, { action: "mask", labels }).inspect(promptOf(text), asking);
    expect(verdict.action === "rewrite" && verdict.subject.messages[0]?.passage.text).to.match(/<EMAIL_1_ <CREDENTIAL_1_\w{6}> {2}and $/u);
  });

  it("says where it found what, never the value", async () => {
    const asked = await inspect([personalDataInPrompt(pii, { action: "block", labels })], promptOf("Mail a@b.io."), asking);
    expect(asked).to.deep.include({ action: "block", code: "personal_data" });
    expect(asked.findings).to.deep.equal([
      {
        guard: "personal_data",
        label: "EMAIL",
        score: 1,
        threshold: 1,
        span: { start: 5, end: 11 },
        message: 0,
        origin: "user",
        action: "block",
      },
    ]);
  });
});
