const named: Readonly<Record<string, string>> = {
  ...{ amp: "&", bsol: "\\", colon: ":", commat: "@", equals: "=", lpar: "(", nbsp: "", newline: "", num: "#", period: ".", quest: "?" },
  ...{ sol: "/", tab: "" },
};

/** With the entities resolved that an address can be written with; white space among them is dropped, as in an address. */
export function withoutEntities(text: string): string {
  return text.replaceAll(/&(?:#(?:x0*([0-9a-f]{1,6})|0*(\d{1,7}))|([a-z]{2,8}));?/giu, (whole, hex, decimal, name) => {
    if (name !== undefined) return named[String(name).toLowerCase()] ?? whole;
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : "";
  });
}

/** Quotation marks quote wherever they stand. */
const viewersRead = /^<(?:"[^"]*"|'[^']*'|[^"'>])*>/u;
/** An attribute, or what stands between two (WHATWG HTML, 13.2.5.32 to 13.2.5.39); a value whose quotation mark is not closed goes on. */
const space = "\\t\\n\\f\\r ";
const value = `"[^"]*(?:"|$)|'[^']*(?:'|$)|[^${space}>"'][^${space}>]*`;
const attribute = `[${space}/]|(?:=[^${space}/>=]*|[^${space}/>=]+)(?:[${space}]*=[${space}]*(?:${value})?)?`;
const browsersRead = new RegExp(`^<(?:[!?]|/[^a-z])[^>]*>|^</?[a-z][^${space}/>]*(?=[${space}/>])(?:(?=(${attribute}))\\1)*>`, "iu");

/** How long the tag or comment is that `text` begins with, as viewers that read only roughly see it, and as browsers do; undefined where it has not ended. */
export function tagLengths(text: string): { readonly viewers: number | undefined; readonly browsers: number | undefined } {
  if (!text.includes(">")) return { viewers: undefined, browsers: undefined };
  const unquoted = /^<[^"'>]*>/u.exec(text)?.[0].length;
  if (unquoted !== undefined) return { viewers: unquoted, browsers: unquoted };
  return { viewers: viewersRead.exec(text)?.[0].length, browsers: browsersRead.exec(text)?.[0].length };
}
