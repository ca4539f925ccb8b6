/** Grammars (GBNF) as llama.cpp reads them, for the engine's process. */
import { type LlamaGrammar, LlamaGrammarEvaluationState, type LlamaModel } from "node-llama-cpp";
import { EngineFault } from "./engine.ts";
import { unwritten } from "./grammar-characters.ts";

/** Grammars that were read lately, by identity and text: nobody learns from the time it takes what schema another has sent. */
const grammarsRead = new Map<string, LlamaGrammar>();
const grammarsKept = 100;

/** Makes states of a grammar; throws `EngineFault` where llama.cpp can't read it. */
export async function grammarFor(
  model: LlamaModel,
  text: string | undefined,
  identity: string,
): Promise<(() => LlamaGrammarEvaluationState) | undefined> {
  if (text === undefined) return undefined;
  const key = JSON.stringify([identity, text]);
  let grammar = grammarsRead.get(key);
  let first: LlamaGrammarEvaluationState | undefined;
  if (grammar === undefined) {
    try {
      grammar = await model.llama.createGrammar({ grammar: text });
      first = new LlamaGrammarEvaluationState({ model, grammar });
    } catch {
      throw new EngineFault("schema_unsupported", "The engine can't follow this schema: it refers to itself without end, or is too large.");
    }
    const char = unwritten(text, (one) => model.detokenize(model.tokenize(one)).includes(one));
    if (char !== undefined) {
      const point = char.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0");
      throw new EngineFault("schema_unsupported", `The schema asks for a character that this model can't write: U+${point}.`);
    }
    for (const oldest of [...grammarsRead.keys()].slice(0, Math.max(0, grammarsRead.size - grammarsKept + 1))) grammarsRead.delete(oldest);
    grammarsRead.set(key, grammar);
  }
  const read = grammar;
  return () => {
    const state = first ?? new LlamaGrammarEvaluationState({ model, grammar: read });
    first = undefined;
    return state;
  };
}
