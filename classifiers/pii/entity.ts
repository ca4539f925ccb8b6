/** Kinds of personal data that patterns find. */
export const patternLabels = ["EMAIL", "PHONE", "CREDIT_CARD", "BANK_ACCOUNT", "GOV_ID", "IP_ADDRESS", "CREDENTIAL"] as const;

/** Kinds of personal data that the model and words of context find besides. */
export const labels = [
  ...patternLabels,
  "PERSON",
  "ORGANIZATION",
  "LOCATION",
  "ADDRESS",
  "DATE_OF_BIRTH",
  "DATE",
  "AGE",
  "MEDICAL_ID",
  "URL",
  "USERNAME",
  "VEHICLE_ID",
] as const;

export type Label = (typeof labels)[number];

/** A piece of personal data in a text. Offsets are UTF-16 code units; `end` is exclusive. */
export interface Entity<Kind extends Label = Label> {
  readonly start: number;
  readonly end: number;
  readonly label: Kind;
  /** 0 to 1; 1 for a pattern. */
  readonly score: number;
}
