import { Fault } from "../fault.ts";

/** More than any conversation that is accepted has, and few enough to check one by one while others wait. */
const valuesMax = 100_000;

/** Strict UTF-8 and JSON, no deeper than `depthMax`, of at most `valuesMax` values or so. A parser's own messages quote the text, so none of them gets out. */
export function parseJson(text: Buffer, depthMax: number): unknown {
  const { depth, commas } = extentOf(text);
  if (depth > depthMax) throw new Fault("invalid_json", `The body is nested deeper than ${depthMax} levels.`);
  if (commas >= valuesMax) throw new Fault("invalid_json", `The body holds more than ${valuesMax} values.`);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch {
    throw new Fault("invalid_json");
  }
}

/** Deepest nesting of `{` and `[`, and how many commas there are, outside of strings. UTF-8 never has these bytes inside another character. */
function extentOf(body: Buffer): { depth: number; commas: number } {
  let depth = 0;
  let commas = 0;
  let deepest = 0;
  let quoted = false;
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at];
    if (quoted) {
      if (byte === 0x5c) at += 1;
      else if (byte === 0x22) quoted = false;
    } else if (byte === 0x22) quoted = true;
    else if (byte === 0x7b || byte === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (byte === 0x7d || byte === 0x5d) depth -= 1;
    else if (byte === 0x2c) commas += 1;
  }
  return { depth: deepest, commas };
}
