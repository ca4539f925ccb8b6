const named: Readonly<Record<string, string>> = {
  ...{ amp: "&", bsol: "\\", colon: ":", commat: "@", equals: "=", lpar: "(", nbsp: "", newline: "", num: "#", period: ".", quest: "?" },
  ...{ sol: "/", tab: "" },
};

/** With the entities resolved that an address can be written with; white space among them is dropped, as in an address. */
export function withoutEntities(text: string): string {
  return text.replaceAll(/&(?:#(?:x0*([0-9a-f]{1,6})|0*(\d{1,7}))|([a-z]{2,8}));?/giu, (whole, hex, decimal, name) => {
    if (name !== undefined) return named[String(name).toLowerCase()] ?? whole;
    return fromCode(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16));
  });
}

/** Nothing where it is none. */
export function fromCode(code: number): string {
  return code <= 0x10ffff ? String.fromCodePoint(code) : "";
}
