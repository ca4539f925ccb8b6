/** The arguments of a call; undefined for what is no object, or holds a number that JavaScript can't tell exactly. */
export function parsedArguments(json: string): object | undefined {
  let isExact = true;
  try {
    const value: unknown = JSON.parse(json, (_key, one) => {
      if (typeof one === "number" && (!Number.isFinite(one) || (Number.isInteger(one) && !Number.isSafeInteger(one)))) isExact = false;
      return one;
    });
    return isExact && typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** All that can be read in a value, each text once: strings, names, and numbers, which may be somebody's. */
export function textsIn(value: unknown, texts = new Set<string>()): ReadonlySet<string> {
  if (typeof value === "string" || typeof value === "number") return texts.add(String(value));
  if (typeof value !== "object" || value === null) return texts;
  for (const [key, one] of Object.entries(value)) {
    if (!Array.isArray(value)) texts.add(key);
    textsIn(one, texts);
  }
  return texts;
}

/** The same with its texts changed, so that none can break out of its place; undefined when two names became one. */
export function withTexts(value: object, change: (text: string) => string): object | undefined {
  let isWhole = true;
  const changed = (one: unknown): unknown => {
    if (typeof one === "string") return change(one);
    if (typeof one === "number") return change(String(one)) === String(one) ? one : change(String(one));
    if (typeof one !== "object" || one === null) return one;
    if (Array.isArray(one)) return one.map(changed);
    const entries = Object.entries(one).map(([key, inner]) => [change(key), changed(inner)] as const);
    if (new Set(entries.map(([key]) => key)).size < entries.length) isWhole = false;
    return Object.fromEntries(entries);
  };
  const whole = changed(value);
  return isWhole && typeof whole === "object" && whole !== null ? whole : undefined;
}
