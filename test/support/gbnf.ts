/** How deep rules that refer to themselves are written out. */
const depthMax = 2;

/** A grammar (GBNF) as a regular expression. Rules that refer to themselves hold to a few levels only. */
export function regExpOf(grammar: string): RegExp {
  const rules = new Map(
    grammar.split("\n").map((line): [string, string] => {
      const [name = "", ...body] = line.split(" ::= ");
      return [name, body.join(" ::= ")];
    }),
  );
  const written = (name: string, above: readonly string[]): string => {
    const body = rules.get(name);
    if (body === undefined) throw new Error(`no rule ${name}`);
    if (above.filter((one) => one === name).length >= depthMax) return "(?!)";
    const parts = body.match(/"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|\{\d+(?:,\d*)?\}|[a-zA-Z][a-zA-Z0-9]*|[()|?*+]/gu) ?? [];
    return parts
      .map((part) => {
        if (part.startsWith('"')) return `(?:${RegExp.escape(JSON.parse(part.replaceAll(/\\x(..)/gu, "\\u00$1")))})`;
        if (/^[a-z]/iu.test(part)) return `(?:${written(part, [...above, name])})`;
        return part === "(" ? "(?:" : part.replaceAll(/\\U(.{8})/gu, "\\u{$1}");
      })
      .join("");
  };
  return new RegExp(`^(?:${written("root", [])})$`, "u");
}
