/** Turns as the tokens that the model reads. */
import { type ChatHistoryItem, type ChatWrapper, type LlamaModel, LlamaText, type Token } from "node-llama-cpp";
import type { Generation, Turn } from "./engine.ts";
import { callOpens, withTools } from "./tool-calls.ts";

export interface Reader {
  readonly model: LlamaModel;
  readonly chat: ChatWrapper;
}

/** What the model reads, and the beginning of the answer which that ends with. */
export function promptOf({ turns, tools, text }: Generation, { model, chat }: Reader): { prompt: Token[]; begun: string } {
  if (text !== undefined) return { prompt: textTokens(text, model), begun: "" };
  const begun = tools?.required === true ? callOpens : "";
  const { contextText } = chat.generateContextState({ chatHistory: history(withTools(turns, tools), begun) });
  return { prompt: contextText.tokenize(model.tokenizer), begun };
}

/** Text stays text: what looks like a special token is none. */
function textTokens(text: string, model: LlamaModel): Token[] {
  const { bos, shouldPrependBosToken } = model.tokens;
  return [...(shouldPrependBosToken && bos !== null ? [bos] : []), ...model.tokenize(text)];
}

/** Tokens of shared texts, by their text. */
const sharedRead = new Map<string, readonly Token[]>();
const sharedKept = 20;

/** What the prompt begins with if its system text begins with `text`, whatever follows there; nothing where it doesn't. Made of `text` alone, so that it says nothing of a caller. */
export function sharedTokens(text: string | undefined, prompt: readonly Token[], { model, chat }: Reader): readonly Token[] {
  if (text === undefined) return [];
  const read = sharedRead.get(text) ?? commonTo([text, `${text}\n\n[`, `${text}\n\nA`].map((system) => systemTokens(system, model, chat)));
  for (const oldest of [...sharedRead.keys()].slice(0, Math.max(0, sharedRead.size - sharedKept + 1))) sharedRead.delete(oldest);
  sharedRead.set(text, read);
  return read.length < prompt.length && read.every((token, index) => token === prompt[index]) ? read : [];
}

function systemTokens(text: string, model: LlamaModel, chat: ChatWrapper): Token[] {
  return chat.generateContextState({ chatHistory: history([{ role: "system", text }]) }).contextText.tokenize(model.tokenizer);
}

function commonTo([first = [], ...others]: readonly Token[][]): readonly Token[] {
  const end = first.findIndex((token, index) => others.some((other) => other[index] !== token));
  return end < 0 ? first : first.slice(0, end);
}

/** Text of the turns stays text: a `<|im_end|>` written by a user is never taken for the real one. `begun`: what the answer begins with. */
export function history(turns: readonly Turn[], begun = ""): ChatHistoryItem[] {
  const items = turns.map(({ role, text }): ChatHistoryItem => {
    if (role === "assistant") return { type: "model", response: [text] };
    return role === "system" ? { type: "system", text: LlamaText(text).toJSON() } : { type: "user", text };
  });
  return [...items, { type: "model", response: begun === "" ? [] : [begun] }];
}
