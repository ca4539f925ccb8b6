import { expect } from "chai";
import { array, asyncProperty, assert as check, constantFrom, integer, oneof, property } from "fast-check";
import { findPersonalData, labels } from "../classifiers/classifier.ts";
import { gatesOf } from "../server/guards/gates.ts";
import { personalDataInAnswer, personalDataInPrompt } from "../server/guards/personal-data.ts";
import type { Message, Prompt } from "../server/pipeline/guard.ts";
import { inspect } from "../server/pipeline/inspect.ts";
import { passage } from "../server/pipeline/passage.ts";
import { newPseudonyms, restore } from "../server/pipeline/pseudonyms.ts";
import { policySchema } from "../server/policy/policy.ts";
import { cut, throughGate } from "./support/gate.ts";

const found = (text: string): string[] => findPersonalData(text).map((one) => `${one.label} ${text.slice(one.start, one.end)}`);

const key = `-----BEGIN RSA PRIVATE KEY-----\n${"MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy\n".repeat(20)}-----END RSA PRIVATE KEY-----`;

/** Values as people write them; each stands between other words in the tests. */
const values: readonly (readonly [label: string, value: string])[] = [
  ["CREDIT_CARD", "4111 1111 1111 1111"],
  ["CREDIT_CARD", "5500-0000-0000-0004"],
  ["CREDIT_CARD", "378282246310005"],
  ["CREDIT_CARD", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"],
  ["BANK_ACCOUNT", "DE89 3704 0044 0532 0130 00"],
  ["BANK_ACCOUNT", "GB29NWBK60161331926819"],
  ["BANK_ACCOUNT", "fr14 2004 1010 0505 0001 3m02 606"],
  ["GOV_ID", "078-05-1120"],
  ["GOV_ID", "219 09 9999"],
  ["EMAIL", "jürgen.o'brien+bank@mail.exämple.co.uk"],
  ["EMAIL", "a@b.io"],
  ["PHONE", "+44 20 7946 0958"],
  ["PHONE", "+1 (415) 555-2671"],
  ["PHONE", "(212) 555-0187"],
  ["PHONE", "06 12 34 56 78"],
  ["PHONE", "07700900123"],
  ["IP_ADDRESS", "192.168.14.20"],
  ["IP_ADDRESS", "2001:db8:85a3::8a2e:370:7334"],
  ["CREDENTIAL", "AKIAIOSFODNN7EXAMPLE"],
  ["CREDENTIAL", `ghp_${"a1B2".repeat(9)}`],
  ["CREDENTIAL", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"],
  ["CREDENTIAL", key],
];

/** Looks like personal data and is none. */
const benign = [
  "On 2024-11-24 at 10:30:12 we sold 1,250 units for 3.141,59 EUR.",
  "The digits of pi: 3.14159265358979323846.",
  "ISBN 978-3-16-148410-0, order 20241124-0012, build 1.30.0.2 and version 4.18.2.1.",
  "Add 300 400 5000 and 1 2 3 4 5 6 7 8 9 10 11 12.",
  "A card with a wrong check digit: 4111 1111 1111 1112.",
  "An IBAN with a wrong check sum: DE89 3704 0044 0532 0130 01.",
  "An SSN that was never issued: 000-12-3456, 666-12-3456, 912-12-3456.",
  "Your password is required, and the token: the next word.",
  "const password = getPassword(); const key = process.env.KEY; password = None",
  "std::vector<int> x; dead::beef(); the ratio 12:30:45; ping 127.0.0.1 or ::1",
  "Write to @someone, see user@localhost, a @ b, and 3 @ 4.99.",
  "DE is a country, and SE12 a postcode district.",
];

describe("personal data by pattern", () => {
  for (const [label, value] of values) {
    it(`finds ${label}: ${value.slice(0, 40).replaceAll("\n", " ")}`, () => {
      expect(found(`Here it is: ${value}, as you asked.`)).to.deep.equal([`${label} ${value}`]);
      expect(found(value)).to.deep.equal([`${label} ${value}`]);
    });
  }

  it("finds what only the words before it give away", () => {
    expect(found("my password is hunter2, and api_key='s3cr3t-v4lue'")).to.deep.equal(["CREDENTIAL hunter2", "CREDENTIAL s3cr3t-v4lue"]);
    expect(found("secret password: tr0ub4dor")).to.deep.equal(["CREDENTIAL tr0ub4dor"]);
    expect(found("postgres://app:correcthorse@db:5432/x")).to.deep.equal(["CREDENTIAL correcthorse"]);
    expect(found("SSN: 219099999")).to.deep.equal(["GOV_ID 219099999"]);
    expect(found("tel. 555 0187 22")).to.deep.equal(["PHONE 555 0187 22"]);
  });

  it("finds values in the dress of Markdown, JSON, URLs and the ends of sentences", () => {
    const dressed: Record<string, string> = {
      "_john@example.com_": "EMAIL john@example.com",
      "ask john@example.com- now": "EMAIL john@example.com",
      [`${"a".repeat(100)}@example.com`]: `EMAIL ${"a".repeat(100)}@example.com`,
      "ip:2001:db8::1": "IP_ADDRESS 2001:db8::1",
      "2001:db8::1: refused": "IP_ADDRESS 2001:db8::1",
      "at dead:beef::cafe.": "IP_ADDRESS dead:beef::cafe",
      "_10.1.2.3_": "IP_ADDRESS 10.1.2.3",
      _4111111111111111_: "CREDIT_CARD 4111111111111111",
      "4111111111111111USD": "CREDIT_CARD 4111111111111111",
      "4111 - 1111 - 1111 - 1111": "CREDIT_CARD 4111 - 1111 - 1111 - 1111",
      "2200 0000 0000 0004": "CREDIT_CARD 2200 0000 0000 0004",
      "_123-45-6789_": "GOV_ID 123-45-6789",
      "DE89  3704  0044  0532  0130  00": "BANK_ACCOUNT DE89  3704  0044  0532  0130  00",
      "DE89.3704.0044.0532.0130.00": "BANK_ACCOUNT DE89.3704.0044.0532.0130.00",
      '{"phone": "4155552671"}': "PHONE 4155552671",
      "**Phone:** 4155552671": "PHONE 4155552671",
      '{"ssn": "123456789"}': "GOV_ID 123456789",
      "(SSN): 123456789": "GOV_ID 123456789",
      "0049 30 1234567": "PHONE 0049 30 1234567",
      "06.12.34.56.78": "PHONE 06.12.34.56.78",
      "password: $ecretPass1!": "CREDENTIAL $ecretPass1",
      "password: null-4567!": "CREDENTIAL null-4567",
      "password: Tr0ub4(dor9": "CREDENTIAL Tr0ub4(dor9",
      "password: Tr0ub4,dor&3x": "CREDENTIAL Tr0ub4,dor&3x",
      "**Password:** hunter22": "CREDENTIAL hunter22",
      "dbPassword=hunter22": "CREDENTIAL hunter22",
      "password: <A_1_b>hunter22": "CREDENTIAL <A_1_b>hunter22",
      "Authorization: Basic dXNlcjpwYXNzd29yZDE=": "CREDENTIAL dXNlcjpwYXNzd29yZDE=",
    };
    for (const [text, one] of Object.entries(dressed)) expect(found(text), text).to.deep.equal([one]);
    for (const text of [
      `password: $\{DB_PASSWORD}`,
      "password: $DB_PASSWORD",
      "password: {{ vault.db }}",
      "password: <your password>",
      "token: [redacted]",
    ])
      expect(found(text), text).to.deep.equal([]);
  });

  it("finds values through characters that are not seen, and spaces, hyphens and digits of other kinds", () => {
    for (const text of [
      "4111 1111 \u200b1111 1111",
      "4\ufe0f1\ufe0f1\ufe0f1\ufe0f 1111 1111 1111",
      "4111\u20111111\u20111111\u20111111",
      "4111\u202f1111\u20091111\t1111",
      "４１１１ 1111 1111 1111",
      "٤١١١ 1111 1111 1111",
      "4\b111 1111 1111 1111",
    ])
      expect(found(`card ${text}, ok`), JSON.stringify(text)).to.deep.equal([`CREDIT_CARD ${text}`]);
    expect(found("john@exam\u200bple.com")).to.deep.equal(["EMAIL john@exam\u200bple.com"]);
    expect(found("DE89 3704 0044 0532\u00ad 0130 00")).to.deep.equal(["BANK_ACCOUNT DE89 3704 0044 0532\u00ad 0130 00"]);
  });

  for (const text of benign) it(`leaves alone: ${text}`, () => expect(found(text)).to.deep.equal([]));

  it("is linear: hostile text of 200,000 characters takes no minute", () => {
    const pieces = [
      "4 ",
      "1.",
      "a@",
      "@a.",
      "a:",
      "DE89 ",
      "eyJ",
      "eyJaaaaaaaaa.",
      "password ",
      "://a:",
      "+(",
      "-----BEGIN PRIVATE KEY-----",
      "secret=",
    ];
    for (const piece of pieces) {
      const startedMs = performance.now();
      findPersonalData(piece.repeat(200_000 / piece.length));
      expect(performance.now() - startedMs, piece).to.be.below(10_000);
    }
  }).timeout(120_000);
});

describe("personal data at the output gate", () => {
  const guard = personalDataInAnswer({ action: "mask", labels });
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
    "x@",
    "...",
    "-----BEGIN ",
  );
  const piece = oneof(
    filler,
    constantFrom(...values.map(([, value]) => `${value} `)),
    constantFrom(...values.map(([, value]) => `${value}. `)),
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

  it("lets no value out that hidden characters split, in whatever pieces it comes", async () => {
    const gates = gatesOf({ ...policySchema.parse({}), name: "default", sha256: "0" });
    const said = [
      "card 4111 1111 \u200b1111 1111 ok",
      "mail john@exam\u200bple.com ok",
      "to DE89 3704 0044 0532\u00ad 0130 00 ok",
      "no 4\u00001 11 1111 1111 1111 ok",
    ];
    const masked = ["card [CREDIT_CARD] ok", "mail [EMAIL] ok", "to [BANK_ACCOUNT] ok", "no [CREDIT_CARD] ok"];
    for (const [index, text] of said.entries())
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

  it("does not make ordinary prose wait longer than its last word", async () => {
    const words = "It was the best of times, it was the worst of times; the year was 1859.".split(/(?<= )/u);
    const { left } = await throughGate(words, [guard]);
    expect(left.filter((one) => one !== "").length).to.be.at.least(words.length - 2);
  });

  it("blocks when the policy says so", async () => {
    const { left, blocked } = await throughGate(
      ["Write to ", "a@b.io", " now"],
      [personalDataInAnswer({ action: "block", labels: ["EMAIL"] })],
    );
    expect({ left: left.join(""), blocked }).to.deep.equal({ left: "Write to ", blocked: true });
  });

  it("looks only for the labels that the policy names", async () => {
    const { left } = await throughGate(["a@b.io, 078-05-1120"], [personalDataInAnswer({ action: "mask", labels: ["GOV_ID"] })]);
    expect(left.join("")).to.equal("a@b.io, [GOV_ID]");
  });
});

describe("personal data at the input gate", () => {
  const promptOf = (...texts: string[]): Prompt => ({
    messages: texts.map((text): Message => ({ role: "user", origin: "user", passage: passage(text) })),
    pseudonyms: newPseudonyms(texts),
  });

  it("gives the model one placeholder for one value, over all messages, and puts the values back", async () => {
    const asked = await inspect([personalDataInPrompt({ action: "mask", labels })], promptOf("Mail a@b.io.", "Is a@b.io or c@d.io right?"));
    if (asked.action !== "pass") throw new Error(asked.action);
    const [first, second] = asked.subject.messages.map((message) => message.passage.text);
    expect(first).to.match(/^Mail <EMAIL_1_\w{6}>\.$/u);
    expect(second).to.match(/^Is <EMAIL_1_\w{6}> or <EMAIL_2_\w{6}> right\?$/u);
    expect(restore(second ?? "", asked.subject.pseudonyms)).to.equal("Is a@b.io or c@d.io right?");
  });

  it("restores any text that held values, whatever stands around them", () => {
    check(
      property(
        array(oneof(constantFrom(...values.map(([, value]) => value)), constantFrom(" and ", "<EMAIL_1_", "$&", "\n")), { maxLength: 8 }),
        (parts) => {
          const text = parts.join(" ");
          const prompt = promptOf(text);
          const verdict = personalDataInPrompt({ action: "mask", labels }).inspect(prompt);
          if (verdict instanceof Promise) throw new Error("it looks at once");
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
  });

  it("says where it found what, never the value", async () => {
    const asked = await inspect([personalDataInPrompt({ action: "block", labels })], promptOf("Mail a@b.io."));
    expect(asked).to.deep.include({ action: "block", code: "personal_data" });
    expect(asked.findings).to.deep.equal([
      { guard: "personal_data", label: "EMAIL", score: 1, threshold: 1, span: { start: 5, end: 11 }, message: 0, action: "block" },
    ]);
  });
});
