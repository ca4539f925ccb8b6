/** The value below which `fraction` (0 to 1) of `values` lie, by nearest rank; NaN for none. */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** For people and for files: three significant digits, never an exponent. */
export function rounded(value: number): number {
  return Number(value.toPrecision(3));
}

/** 95 % interval of a share, both 0 to 1 (Wilson). */
export function interval(hits: number, count: number): [low: number, high: number] {
  const z = 1.96;
  const share = hits / count;
  const middle = (share + (z * z) / (2 * count)) / (1 + (z * z) / count);
  const half = (z * Math.sqrt((share * (1 - share)) / count + (z * z) / (4 * count * count))) / (1 + (z * z) / count);
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}
