import { findPersonalData } from "../../classifiers/classifier.ts";

/** What is found in a text, each as `LABEL value`. */
export const found = (text: string): string[] => findPersonalData(text).map((one) => `${one.label} ${text.slice(one.start, one.end)}`);

const key = `-----BEGIN RSA PRIVATE KEY-----\n${"MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy\n".repeat(20)}-----END RSA PRIVATE KEY-----`;

/** Values as people write them; each stands between other words in the tests. */
export const values: readonly (readonly [label: string, value: string])[] = [
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

/** Values in the dress of Markdown, JSON, URLs and the ends of sentences, and what is found there. */
export const dressed: Record<string, string> = {
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
  "DE89–3704–0044–0532–0130–00": "BANK_ACCOUNT DE89–3704–0044–0532–0130–00",
  "DE 89 3704 0044 0532 0130 00": "BANK_ACCOUNT DE 89 3704 0044 0532 0130 00",
  "DE89 3704 0044\n0532 0130 00": "BANK_ACCOUNT DE89 3704 0044\n0532 0130 00",
  DE89370400440532013000EUR: "BANK_ACCOUNT DE89370400440532013000",
  IBANDE89370400440532013000: "BANK_ACCOUNT DE89370400440532013000",
  "\\nDE89370400440532013000\\n": "BANK_ACCOUNT DE89370400440532013000",
  "\\tAKIAIOSFODNN7EXAMPLE\\n": "CREDENTIAL AKIAIOSFODNN7EXAMPLE",
  "\\n10.1.2.3\\n": "IP_ADDRESS 10.1.2.3",
  "\\n2001:db8::1\\n": "IP_ADDRESS 2001:db8::1",
  "\\r\\n123-45-6789\\n": "GOV_ID 123-45-6789",
  "123–45–6789": "GOV_ID 123–45–6789",
  "4111—1111—1111—1111": "CREDIT_CARD 4111—1111—1111—1111",
  "4111 1111\n1111 1111": "CREDIT_CARD 4111 1111\n1111 1111",
  "3782-822463-\r\n10005": "CREDIT_CARD 3782-822463-\r\n10005",
  "4111&nbsp;1111&#160;1111&nbsp;1111": "CREDIT_CARD 4111&nbsp;1111&#160;1111&nbsp;1111",
  "john\\_doe@example.com": "EMAIL john\\_doe@example.com",
  "\\_john\\@example.com\\_": "EMAIL john\\@example.com",
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

/** A card number through characters that are not seen, and with spaces, hyphens and digits of other kinds. */
export const hiddenCards = [
  "4111 1111 \u200b1111 1111",
  "4\ufe0f1\ufe0f1\ufe0f1\ufe0f 1111 1111 1111",
  "4111\u20111111\u20111111\u20111111",
  "4111\u202f1111\u20091111\t1111",
  "４１１１ 1111 1111 1111",
  "٤١١١ 1111 1111 1111",
  "４１１１－１１１１－１１１１－１１１１",
  "𝟒𝟏𝟏𝟏 𝟙𝟙𝟙𝟙 𝟷𝟷𝟷𝟷 𝟣𝟣𝟣𝟣",
  "4\b111 1111 1111 1111",
];
