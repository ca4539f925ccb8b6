import type { JsonSchema } from "./engine.ts";
import { either, unsupported } from "./grammar.ts";

/** Longer numbers are no longer exact. */
const digitsMax = 16;

/** An expression for the numbers that a schema at `path` allows. */
export function numberGrammar(
  type: "integer" | "number",
  { minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonSchema,
  path: string,
): string {
  const bound = (value: unknown, name: string): number | undefined => {
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !Number.isSafeInteger(value))
      throw unsupported(`\`${name}\` at ${path} can be honoured for whole numbers only.`);
    return value;
  };
  if (type === "number" && (exclusiveMinimum !== undefined || exclusiveMaximum !== undefined)) {
    throw unsupported(
      `The schema's keyword \`exclusiveMinimum\` or \`exclusiveMaximum\` can't be honoured at ${path} for type \`number\`.`,
    );
  }
  const [above, below] = [bound(exclusiveMinimum, "exclusiveMinimum"), bound(exclusiveMaximum, "exclusiveMaximum")];
  const lows = [bound(minimum, "minimum"), above === undefined ? undefined : above + 1].filter((one) => one !== undefined);
  const highs = [bound(maximum, "maximum"), below === undefined ? undefined : below - 1].filter((one) => one !== undefined);
  const low = lows.length === 0 ? undefined : BigInt(Math.max(...lows));
  const high = highs.length === 0 ? undefined : BigInt(Math.min(...highs));
  if (low === undefined && high === undefined) return type;
  if (low !== undefined && high !== undefined && low > high) throw unsupported(`${path} allows no number.`);
  const far = 10n ** BigInt(digitsMax - 1);
  if (high === undefined && low !== undefined && low >= far) throw unsupported(`\`minimum\` at ${path} can be honoured below ${far} only.`);
  if (low === undefined && high !== undefined && high <= -far)
    throw unsupported(`\`maximum\` at ${path} can be honoured above -${far} only.`);
  const fraction = type === "number" ? ' ("." digit{1,16})?' : "";
  const parts: string[] = [];
  // Below zero the digits count the other way round.
  if (low === undefined || low < 0n)
    parts.push(`"-" ${magnitudes(high !== undefined && high < 0n ? -high : 1n, low === undefined ? undefined : -low, fraction)}`);
  if (high === undefined || high >= 0n) parts.push(magnitudes(low !== undefined && low > 0n ? low : 0n, high, fraction));
  return either(parts);
}

/** Numbers from `low` to `high`, both not below zero; a fraction may follow what is below `high`. */
function magnitudes(low: bigint, high: bigint | undefined, fraction: string): string {
  if (high === undefined) {
    const digits = String(low);
    const longer = `[1-9] digit{${digits.length},${digitsMax - 1}}`;
    return either([`(${between(digits, "9".repeat(digits.length))})${fraction}`, `${longer}${fraction}`]);
  }
  if (fraction === "") return either(byLength(low, high));
  return either([...(high > low ? byLength(low, high - 1n).map((one) => `(${one})${fraction}`) : []), `"${high}"`]);
}

/** One expression for each number of digits. */
function byLength(low: bigint, high: bigint): string[] {
  const [from, until] = [String(low), String(high)];
  return Array.from({ length: until.length - from.length + 1 }, (_, index) => {
    const length = from.length + index;
    return between(length === from.length ? from : `1${"0".repeat(length - 1)}`, length === until.length ? until : "9".repeat(length));
  });
}

/** Digits from `low` to `high`, which have the same length. */
function between(low: string, high: string): string {
  const [a = "", b = ""] = [low[0], high[0]];
  const rest = low.length - 1;
  if (rest === 0) return a === b ? `"${a}"` : `[${a}-${b}]`;
  // Written out digit by digit, a wide range would double with each of them.
  if (/^0+$/u.test(low) && /^9+$/u.test(high)) return `digit{${low.length}}`;
  if (low === high) return `"${low}"`;
  if (a === b) return `"${a}" (${between(low.slice(1), high.slice(1))})`;
  const parts = [`"${a}" (${between(low.slice(1), "9".repeat(rest))})`];
  if (Number(b) - Number(a) > 1) parts.push(`[${Number(a) + 1}-${Number(b) - 1}] digit{${rest}}`);
  parts.push(`"${b}" (${between("0".repeat(rest), high.slice(1))})`);
  return either(parts);
}
