import { withoutEntities } from "../entities.ts";

/** Quotation marks quote wherever they stand. */
const viewersRead = /^<(?:"[^"]*"|'[^']*'|[^"'>])*>/u;
/** An attribute, or what stands between two (WHATWG HTML, 13.2.5.32 to 13.2.5.39); a value whose quotation mark is not closed goes on. */
const space = "\\t\\n\\f\\r ";
const value = `"[^"]*(?:"|$)|'[^']*(?:'|$)|[^${space}>"'][^${space}>]*`;
const attribute = `[${space}/]|(?:=[^${space}/>=]*|[^${space}/>=]+)(?:[${space}]*=[${space}]*(?:${value})?)?`;
const browsersRead = new RegExp(`^<(?:[!?]|/[^a-z])[^>]*>|^</?[a-z][^${space}/>]*(?=[${space}/>])(?:(?=(${attribute}))\\1)*>`, "iu");

/** Longest tag that is waited for. */
export const tagCharsMax = 1_024;

export interface Tag {
  /** As viewers see it that read only roughly, or as browsers do, whichever comes later. Undefined where there is none within what is waited for. */
  readonly end: number | undefined;
  /** More text may decide where it ends. */
  readonly isOpen: boolean;
}

/** The tag or comment that begins at `start`. A quotation mark that is never closed quotes nothing. */
export function tagAt(text: string, start: number): Tag {
  const rest = text.slice(start, start + tagCharsMax);
  const first = rest.indexOf(">") + 1;
  const isPlain = !/["']/u.test(rest.slice(0, first));
  const [browsers, viewers] =
    first === 0 ? [] : isPlain ? [first, first] : [browsersRead, viewersRead].map((read) => read.exec(rest)?.[0].length);
  if (viewers !== undefined && browsers !== undefined) return { end: start + Math.max(viewers, browsers), isOpen: false };
  const isOpen = rest.length < tagCharsMax;
  const length = browsers ?? (isOpen ? first || rest.length : undefined);
  return { end: length === undefined ? undefined : start + length, isOpen };
}

const attributes = /[\s/]*([^\s"'<>/=]{1,64})(?:\s*=\s*(?:"([^"]*)(?:"|$)|'([^']*)(?:'|$)|([^\s"'>]+)))?|./gsuy;

/** The attributes in what follows a tag's name; what may be one in some reading is. Values as addresses: without line breaks, and white space around them. */
export function attributesOf(tag: string): { readonly name: string; readonly value: string }[] {
  return [...tag.matchAll(attributes)]
    .filter(([, name]) => name !== undefined)
    .map(([, name = "", a, b, c]) => ({
      name: name.toLowerCase(),
      value: withoutEntities(a ?? b ?? c ?? "")
        .replaceAll(/[\t\n\r]/gu, "")
        .trim(),
    }));
}
