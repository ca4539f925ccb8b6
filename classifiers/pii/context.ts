import type { Entity, Label } from "./entity.ts";

/** A value, and what stands between it and the words that announce it: "passport no. C01X00T47", "MRN: 88-1203". */
const gap = "(?:[ _-]?(?:no|nr|num|number|code|id|#|n[°º]))?\\.?(?:\\s{0,3}(?::|=|\\bis\\b|\\bwas\\b|#|\\()\\s{0,3}|\\s{1,3})[\"']?";
const withDigit = "(?=[\\p{L}-]{0,6}\\d)[\\p{L}\\d](?:[\\p{L}\\d]|[-./](?=[\\p{L}\\d])){3,24}";

/** Values without a form of their own: the words before say what they are. */
const announced: readonly (readonly [label: Label, words: string, value: string])[] = [
  [
    "GOV_ID",
    "passport|reisepass|passeport|pasaporte|driver'?s? licen[cs]e|driving licen[cs]e|licen[cs]e (?=no|number|#)|national id(?:entity)?(?: card)?|identity card|tax (?:id|file|identification)|tin|ein|nino|national insurance|steuer-?id|dni|nie|curp|aadhaar|pan card",
    withDigit,
  ],
  [
    "MEDICAL_ID",
    "mrn|medical record|patient (?:id|no|number)|nhs|medicare|medicaid|health (?:insurance|card|plan)|insurance (?:member|policy)|member id|npi",
    withDigit,
  ],
  [
    "BANK_ACCOUNT",
    "account (?=no|number|#)|acct\\.?|a/c|routing|aba|sort code|swift|bic|kontonummer|blz",
    `(?:${withDigit}|[A-Z]{4}[A-Z]{2}[A-Z\\d]{2}(?:[A-Z\\d]{3})?\\b)`,
  ],
  [
    "VEHICLE_ID",
    "vin|licen[cs]e plate|number plate|plate (?=no|number|#)|registration (?=plate|no|number)|kennzeichen|chassis",
    "(?=[\\p{L} -]{0,6}\\d)[\\p{L}\\d](?:[\\p{L}\\d]|[- ](?=[\\p{L}\\d]{1,4}\\b)){3,17}",
  ],
  ["CREDIT_CARD", "cvv2?|cvc2?|security code|card verification(?: value| code)?", "\\d{3,4}(?!\\d)"],
  ["CREDENTIAL", "pin|one-time (?:code|password)|otp|passcode", "\\d{4,8}(?!\\d)"],
  ["DATE_OF_BIRTH", "dob|d\\.o\\.b|date of birth|birth ?date|born(?: on)?|geboren(?: am)?|née? le|nacid[oa] el", dateForm()],
];

const finders = announced.map(
  ([label, words, value]) => [label, new RegExp(`(?<![\\p{L}\\d])(?:${words})${gap}(?<value>${value})`, "dgiu")] as const,
);

/** Values that the words before them announce. Linear in the length of the text. */
export function findAnnounced(text: string): Entity[] {
  return finders.flatMap(([label, words]) =>
    [...text.matchAll(words)].flatMap(({ indices }): Entity[] => {
      const value = indices?.groups?.value;
      return value === undefined ? [] : [{ start: value[0], end: value[1], label, score: 1 }];
    }),
  );
}

function dateForm(): string {
  const month = "\\p{L}{3,9}\\.?";
  return `(?:\\d{1,4}[-/.]\\d{1,2}[-/.]\\d{1,4}|\\d{1,2}(?:st|nd|rd|th|\\.)? (?:of )?${month},? \\d{4}|${month} \\d{1,2}(?:st|nd|rd|th)?,? \\d{4})(?!\\d)`;
}
