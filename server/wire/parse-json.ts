import { Fault } from "../fault.ts";

/** Strict UTF-8 and JSON, no deeper than `depthMax`. A parser's own messages quote the text, so none of them gets out. */
export function parseJson(text: Buffer, depthMax: number): unknown {
  if (depthOf(text) > depthMax) throw new Fault("invalid_json", `The body is nested deeper than ${depthMax} levels.`);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch {
    throw new Fault("invalid_json");
  }
}

/** Deepest nesting of `{` and `[` outside of strings. UTF-8 never has these bytes inside another character. */
function depthOf(body: Buffer): number {
  let depth = 0;
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
  }
  return deepest;
}
