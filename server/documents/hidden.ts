/** CSS properties by name, in lower case. */
export type Style = ReadonlyMap<string, string>;

const looks = new Set(
  `display visibility content-visibility opacity font-size font text-indent transform filter clip clip-path left right top bottom margin-left margin-top
  position overflow width height max-width max-height color background background-color`.split(/\s+/u),
);

/** What matters here of the declarations of a style attribute or of a rule's block; a value is short. */
export function styleOf(text: string): Style {
  const declarations = withoutComments(text)
    .toLowerCase()
    .split(";")
    .map((one): [string, string] => {
      const colon = one.indexOf(":");
      const value = one.slice(colon + 1, colon + 200).trim();
      return [one.slice(0, Math.max(0, colon)).trim(), value.replace(/\s*!\s*important$/u, "")];
    });
  return new Map(declarations.filter(([name]) => looks.has(name)));
}

function withoutComments(text: string): string {
  const [first = "", ...rest] = text.split("/*");
  // What stands in a comment that does not end is read all the same.
  return first + rest.map((one) => one.slice(one.includes("*/") ? one.indexOf("*/") + 2 : 0)).join("");
}

const nothing = /^[+-]?0*\.?0*(?:px|p[tc]|r?em|ex|ch|%|v[wh]|[cm]m|in)?$/u;
const tiny = /^\+?(?:0*1|0*\.\d+)(?:px|pt)?$/u;
const farAway = /^-\d{3,}|^-\d{2,}(?:em|rem|%|v[wh])|^calc\(\s*-\d{3,}/u;

/** Whether what is styled like this, on `background`, is not seen by a reader. Plain cases only: it decides in which order text is read, not whether. */
export function hides(style: Style, background: string): boolean {
  const value = (name: string): string => style.get(name) ?? "";
  const is = (name: string, what: RegExp): boolean => style.has(name) && what.test(value(name));
  const isOutOfFlow = is("position", /^(?:absolute|fixed)$/u);
  const cuts = is("overflow", /^(?:hidden|clip)$/u);
  return (
    is("display", /^none$/u) ||
    is("visibility", /^(?:hidden|collapse)$/u) ||
    is("content-visibility", /^hidden$/u) ||
    is("opacity", nothing) ||
    is("font-size", nothing) ||
    is("font-size", tiny) ||
    is("font", /^(?:.*\s)?0(?:px|pt|em|rem|%)?(?:\/|\s|$)/u) ||
    is("text-indent", farAway) ||
    is("transform", /scale[xy]?\(\s*0*\.?0*\s*[,)]/u) ||
    is("filter", /opacity\(\s*0*\.?0*%?\s*\)/u) ||
    is("clip", /^rect\(/u) ||
    is("clip-path", /^(?:inset\(\s*(?:100|[5-9]\d)%|circle\(\s*0|polygon\(\s*0\s+0\s*\))/u) ||
    (["left", "right", "top", "bottom", "margin-left", "margin-top"].some((side) => is(side, farAway)) &&
      (isOutOfFlow || !style.has("position"))) ||
    (cuts && ["width", "height", "max-width", "max-height"].some((side) => is(side, nothing) || is(side, tiny))) ||
    (style.has("color") && [colour(background), "transparent"].includes(colour(value("color"))))
  );
}

/** What a style paints behind its text; undefined where that is left as it is. */
export function backgroundOf(style: Style): string | undefined {
  const value = style.get("background-color") ?? style.get("background")?.split(/\s(?![^(]*\))/u)[0];
  return value === undefined || value === "" || colour(value) === "transparent" ? undefined : value;
}

const names: Readonly<Record<string, string>> = { white: "ffffff", black: "000000", snow: "fffafa", whitesmoke: "f5f5f5", red: "ff0000" };

/** One spelling for what is plainly the same colour. */
function colour(value: string): string {
  const named = names[value];
  if (named !== undefined) return named;
  const [, short] = /^#([0-9a-f]{3})[0-9a-f]?$/u.exec(value) ?? [];
  if (short !== undefined) return [...short].map((digit) => digit + digit).join("");
  const [, long, clear] = /^#([0-9a-f]{6})([0-9a-f]{2})?$/u.exec(value) ?? [];
  if (clear === "00") return "transparent";
  if (long !== undefined) return long;
  const [, red, green, blue, alpha] = /^rgba?\(\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})(?:[\s,/]+([\d.]+%?))?\s*\)$/u.exec(value) ?? [];
  if (alpha !== undefined && nothing.test(alpha)) return "transparent";
  if (red === undefined) return value;
  return [red, green, blue].map((part) => Number(part).toString(16).padStart(2, "0")).join("");
}

const classesMax = 8;

/** The rules of style sheets by the last simple selector of each: enough to know `.x { display: none }`. */
export class StyleSheets {
  readonly #rules = new Map<string, Map<string, string>>();

  add(text: string): void {
    for (const rule of withoutComments(text).split("}")) {
      const brace = rule.lastIndexOf("{");
      const style = styleOf(rule.slice(brace + 1));
      const selectors = rule.slice(rule.lastIndexOf("{", brace - 1) + 1, Math.max(0, brace));
      if (brace >= 0 && style.size > 0) for (const selector of selectors.split(",")) this.#learn(selector.trim().toLowerCase(), style);
    }
  }

  /** A selector with a state, a pseudo-element or a condition says nothing about how the text looks at rest. */
  #learn(selector: string, style: Style): void {
    const [key] = /(?:[.#][\w-]+|(?<![\w:.#-])[a-z][a-z0-9-]*)$/u.exec(selector.slice(-100)) ?? [];
    if (key === undefined) return;
    const known = this.#rules.get(key) ?? new Map<string, string>();
    for (const [name, value] of style) known.set(name, value);
    this.#rules.set(key, known);
  }

  /** What all rules for an element say; later ones win, ids over classes over names. */
  for(tag: string, { id, classes }: { id: string; classes: readonly string[] }): Style {
    if (this.#rules.size === 0) return new Map();
    const keys = [tag, ...classes.slice(0, classesMax).map((one) => `.${one}`), `#${id}`];
    return new Map(keys.flatMap((key) => [...(this.#rules.get(key.toLowerCase()) ?? [])]));
  }
}
