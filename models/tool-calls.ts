import type { EngineEvent, ToolCall, Tools, Turn } from "./engine.ts";

/** How models of several makers write a call, Hermes and Qwen among them. */
export const callOpens = "<tool_call>";
const callCloses = "</tool_call>";

/** A call that is longer than so many characters is text. */
const callCharsMax = 200_000;

/** Turns in which tools are described and calls written out, for a model that knows only text. */
export function withTools(turns: readonly Turn[], tools: Tools | undefined): Turn[] {
  const written = turns.map(
    ({ role, text, calls = [] }): Turn => ({
      role,
      text: [text, ...calls.map((call) => `${callOpens}\n${call}\n${callCloses}`)].filter((one) => one !== "").join("\n"),
    }),
  );
  if (tools === undefined) return written;
  const [first] = written;
  const note = noteOn(tools);
  if (first?.role !== "system") return [{ role: "system", text: note }, ...written];
  return [{ role: "system", text: `${first.text}\n\n${note}` }, ...written.slice(1)];
}

function noteOn({ offered, required, parallel }: Tools): string {
  const functions = offered.map(({ name, description, parameters }) =>
    JSON.stringify({ type: "function", function: { name, description, parameters } }),
  );
  return [
    `# Tools\n\n${required ? "Answer with a call of one of these functions" : "You may call these functions"}:`,
    `<tools>\n${functions.join("\n")}\n</tools>`,
    `Write ${parallel ? "each call" : "one call"} as a JSON object with name and arguments:\n${callOpens}\n{"name": <function-name>, "arguments": <args-json-object>}\n${callCloses}`,
  ].join("\n\n");
}

/** Takes calls out of the text of an answer; text that may be the beginning of one waits. */
export class CallReader {
  readonly #names: ReadonlySet<string>;
  #held = "";
  #tokens = 0;
  /** A call has just ended: its closing mark, and white space, are no text. */
  #closing = false;

  constructor({ offered }: Tools) {
    this.#names = new Set(offered.map(({ name }) => name));
  }

  /** A call has been opened and nothing of it written. */
  get isAtCall(): boolean {
    return this.#held.trimEnd() === callOpens; // one token can hold the end of the mark and line breaks
  }

  /** Inside a call: from the mark that opens it to the end of its object. */
  get isInCall(): boolean {
    return this.#held.startsWith(callOpens);
  }

  /** `tokens`: how many `text` is made of. */
  add(text: string, tokens: number): EngineEvent[] {
    this.#held += text;
    this.#tokens += tokens;
    const events: EngineEvent[] = [];
    for (;;) {
      if (this.#closing && !this.#isClosed()) return events;
      const at = this.#held.indexOf(callOpens);
      if (at < 0) {
        this.#release(events, this.#held.length - beginningLength(this.#held));
        return events;
      }
      this.#release(events, at);
      const end = endOfObject(this.#held, callOpens.length);
      if (end === undefined && this.#held.length < callCharsMax) return events;
      const call = end === undefined ? undefined : this.#callIn(this.#held.slice(callOpens.length, end));
      if (call === undefined) this.#release(events, callOpens.length);
      else {
        events.push({ type: "call", call, tokens: this.#takeTokens() });
        this.#held = this.#held.slice(end);
        this.#closing = true;
      }
    }
  }

  /** What is left when the answer is over: a call that never ends is text, but for one that was cut off, which is not told. */
  end(reason: "stop" | "length"): EngineEvent[] {
    const events: EngineEvent[] = [];
    if (!this.#closing && (reason === "stop" || !this.isInCall)) this.#release(events, this.#held.length);
    const tokens = this.#takeTokens();
    if (tokens > 0) events.push({ type: "text", text: "", tokens }); // they were computed
    return events;
  }

  /** Drops the closing mark of the last call; false while more of it may come. */
  #isClosed(): boolean {
    const rest = this.#held.trimStart();
    if (rest === "" || (rest.length < callCloses.length && callCloses.startsWith(rest))) return false;
    if (!rest.startsWith(callCloses)) this.#closing = false;
    this.#held = rest.startsWith(callCloses) ? rest.slice(callCloses.length) : rest;
    return !this.#closing || this.#isClosed();
  }

  #release(events: EngineEvent[], end: number): void {
    if (end <= 0) return;
    events.push({ type: "text", text: this.#held.slice(0, end), tokens: this.#takeTokens() });
    this.#held = this.#held.slice(end);
  }

  #takeTokens(): number {
    const tokens = this.#tokens;
    this.#tokens = 0;
    return tokens;
  }

  /** Undefined for what is no call of a tool that was offered. */
  #callIn(text: string): ToolCall | undefined {
    try {
      const { name, arguments: given } = JSON.parse(text);
      if (!this.#names.has(name) || typeof given !== "object" || given === null || Array.isArray(given)) return undefined;
      // JSON has no infinity, and null would be another value: as a number that is not exact it is refused.
      return { name, arguments: JSON.stringify(given, (_key, value) => (isInfinite(value) ? Math.sign(value) * Number.MAX_VALUE : value)) };
    } catch {
      return undefined;
    }
  }
}

function isInfinite(value: unknown): value is number {
  return value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY;
}

/** Length of the end of `text` that may be the beginning of a call. */
function beginningLength(text: string): number {
  for (let length = Math.min(callOpens.length - 1, text.length); length > 0; length -= 1) {
    if (callOpens.startsWith(text.slice(-length))) return length;
  }
  return 0;
}

/** Where the JSON object that begins at `from`, after white space, ends; undefined while it has not. */
function endOfObject(text: string, from: number): number | undefined {
  let depth = 0;
  let inString = false;
  for (let at = from; at < text.length; at += 1) {
    const char = text[at];
    if (inString) {
      if (char === "\\") at += 1;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === "{") depth += 1;
    else if (char === "}") {
      depth -= 1;
      if (depth <= 0) return at + 1;
    } else if (depth === 0 && !/\s/u.test(char ?? "")) return at;
  }
  return undefined;
}
