/** Kinds of personal data that patterns find. */
export const labels = ["EMAIL", "PHONE", "CREDIT_CARD", "BANK_ACCOUNT", "GOV_ID", "IP_ADDRESS", "CREDENTIAL"] as const;

export type Label = (typeof labels)[number];

/** A piece of personal data in a text. Offsets are UTF-16 code units; `end` is exclusive. */
export interface Entity {
  readonly start: number;
  readonly end: number;
  readonly label: Label;
  /** 0 to 1; 1 for a pattern. */
  readonly score: number;
}
