import { expect } from "chai";
import { findPersonalData, openFrom } from "../classifiers/classifier.ts";
import { dressed, found, hiddenCards, values } from "./support/personal-values.ts";

/** Looks like personal data and is none. */
const benign = [
  "On 2024-11-24 at 10:30:12 we sold 1,250 units for 3.141,59 EUR.",
  "The digits of pi: 3.14159265358979323846.",
  "ISBN 978-3-16-148410-0, order 20241124-0012, build 1.30.0.2 and version 4.18.2.1.",
  "Add 300 400 5000 and 1 2 3 4 5 6 7 8 9 10 11 12.",
  Array.from({ length: 100 }, (_, index) => index + 1).join(" "),
  Array.from({ length: 20 }, (_, index) => (index + 1) ** 2).join(" "),
  "Losses: 4.532015112830366 0.4532015112830366 5.105105105105100.",
  "Order number: 10023456, invoice number 2024-000123, page number 1234567, Part number 555-0134, serial no. 0123498765.",
  "The prime number 1000000007. The number 1234567 is divisible by 127; the number 1 000 000 007 is not. We call 1000000 times.",
  "ISBN 0306406152, ISBN-10: 0306406152, digits 0123456789, steps 01 02 03 04 05 and 05 10 15 20 25.",
  'Chrome/120.0.0.0, Version=4.0.0.0, Culture=neutral, "version": "1.2.3.4", foo==1.2.3.4, section 1.2.3.4, § 1.2.3.4.',
  "4111 1111\n1111 1111\n1111 1111\n4111\n1111\n1111\n1111",
  "41111111\n11111111",
  "A card with a wrong check digit: 4111 1111 1111 1112.",
  "An IBAN with a wrong check sum: DE89 3704 0044 0532 0130 01.",
  "Words before numbers that would be an account's: de 89 3704 0044 0532 0130 00, xDE89370400440532013000, DE89370400440532013000E1.",
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

  it("finds a telephone number or address by the words before it, also where they stand before other numbers too", () => {
    for (const text of [
      "call 555-0134",
      "call 4155552671",
      "Call: 5550134",
      "call me at 5550134",
      "call on 20 7946 0958",
      "cell 415 555 2671",
      "Cell: 5550134",
      "her cell is 5550134",
      "my number is 5550134",
      "Anna's number is 5550134",
      "your new number: 5550134",
      "the number is 555-0134",
      "Number: 4155552671",
      "phone number 5550134",
      "contact_number=5550134",
      '{"phoneNumber": "5550134"}',
      "account number 12345678",
      "Order number 7, then 06 12 34 56 78",
    ]) {
      expect(found(text).join(), text).to.match(/^PHONE [\d -]+$/u);
    }
    for (const text of ["host/10.1.2.3", "ip.addr==10.1.2.3", "src_ip==10.1.2.3", "srv 10.1.2.3", "IPv4/10.1.2.3", "https://10.1.2.3/"])
      expect(found(text), text).to.deep.equal(["IP_ADDRESS 10.1.2.3"]);
  });

  it("finds a card number by itself in whatever groups, and one in printed groups beside other numbers", () => {
    const byItself = [
      "41 11 11 11 11 11 11 11",
      "41 11 1111 1111 1111",
      "4 111 1111 1111 1111",
      "411 111 111 111 111 1",
      "4.11111.11111.11111",
    ];
    const printed = [
      "3782 822463 10005",
      "3056 930902 5904",
      "4222 222 222 222",
      "4111 1111 1111 1111 110",
      "676100 0000000000001",
      "4111111111111111",
    ];
    for (const card of [...byItself, ...printed]) expect(found(`card ${card}, ok`), card).to.deep.equal([`CREDIT_CARD ${card}`]);
    for (const card of printed) expect(found(`1.5 ${card} 12/27`), card).to.deep.equal([`CREDIT_CARD ${card}`]);
  });

  it("finds values through characters that are not seen, and spaces, hyphens and digits of other kinds", () => {
    for (const text of hiddenCards) expect(found(`card ${text}, ok`), JSON.stringify(text)).to.deep.equal([`CREDIT_CARD ${text}`]);
    expect(found("john@exam\u200bple.com")).to.deep.equal(["EMAIL john@exam\u200bple.com"]);
    expect(found("DE89 3704 0044 0532\u00ad 0130 00")).to.deep.equal(["BANK_ACCOUNT DE89 3704 0044 0532\u00ad 0130 00"]);
  });

  it("finds values in full-width and small forms, and in digits of two code units", () => {
    for (const address of ["anna＠example．com", "ａｎｎａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "anna﹫example﹒com"]) {
      expect(found(`（${address}）`)).to.deep.equal([`EMAIL ${address}`]);
    }
    expect(found("password：Tr0ub4dor9")).to.deep.equal(["CREDENTIAL Tr0ub4dor9"]);
    const card = [..."4111111111111111"].map((digit, index) => String.fromCodePoint(0x1d7ce + 10 * (index % 5) + Number(digit))).join("");
    expect(found(`card ${card}, ok`)).to.deep.equal([`CREDIT_CARD ${card}`]);
    expect(openFrom(`card ${card}`)).to.equal(5);
    expect(openFrom("2 \u{1d7ec}\u200b")).to.equal(0);
    expect(found(`${card} anna@example.com`)).to.deep.equal([`CREDIT_CARD ${card}`, "EMAIL anna@example.com"]);
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
