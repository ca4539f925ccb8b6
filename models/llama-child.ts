/** The engine's own process: loads one GGUF with llama.cpp and generates for the parent that started it. Holds no sockets. */
import { availableParallelism } from "node:os";
import {
  type ChatHistoryItem,
  type ChatWrapper,
  chatWrappers,
  getLlama,
  type LlamaContext,
  type LlamaContextSequence,
  type LlamaGrammar,
  LlamaGrammarEvaluationState,
  LlamaLogLevel,
  type LlamaModel,
  LlamaText,
  resolvableChatWrapperTypeNames,
  resolveChatWrapper,
  type Token,
} from "node-llama-cpp";
import { type EngineEvent, EngineFault, type Generation, type Turn } from "./engine.ts";
import type { FromChild, GgufFacts, Grammars, LlamaSettings, ToChild } from "./llama-protocol.ts";
import { CallReader, callOpens, withTools } from "./tool-calls.ts";
import { verifyFile } from "./verify-file.ts";

/** A prompt is evaluated in pieces of this many tokens, so that running answers go on between them and a cancel is heard. */
const prefillTokens = 64;

/** How far back a penalty on repetition looks, in tokens of the answer. */
const recentTokens = 64;

const settings = JSON.parse(process.argv[2] ?? "{}") as LlamaSettings; // written by LlamaEngine, from checked config
const nativeErrors: string[] = [];
const running = new Map<number, AbortController>();

// Ctrl-C and service stops reach the whole process group; the parent decides when the engine ends.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});
process.on("SIGHUP", () => {});
process.on("disconnect", () => process.exit(0));

try {
  await verifyFile(settings.file, settings);
  const { model, context, chat } = await load();
  const sequences = Array.from({ length: settings.parallel }, () => context.getSequence());
  const stopTokens = new Set<Token>();
  const stops: string[] = [];
  for (const trigger of chat.generateContextState({ chatHistory: history([]) }).stopGenerationTriggers) {
    const tokens = trigger.tokenize(model.tokenizer);
    if (tokens[0] !== undefined && tokens.length === 1) stopTokens.add(tokens[0]);
    else stops.push(trigger.toString());
  }
  process.on("message", (message: ToChild) => {
    if (message.type === "cancel") running.get(message.call)?.abort();
    else void serve(message.call, message, { model, chat, sequences, stopTokens });
  });
  send({ type: "ready", contextTokens: sequences[0]?.contextSize ?? 0, stops, facts: factsOf(model, chat) });
} catch (error) {
  send({ type: "unfit", message: error instanceof Error ? error.message : String(error) });
  process.disconnect();
}

async function load(): Promise<{ model: LlamaModel; context: LlamaContext; chat: ChatWrapper }> {
  const type = resolvableChatWrapperTypeNames.find((name) => name === (settings.template ?? "auto"));
  if (type === undefined)
    throw new Error(
      `There is no chat template ${settings.template}. The catalogue may name: ${resolvableChatWrapperTypeNames.join(", ")}.`,
    );
  try {
    return await loadWithLlama(type);
  } catch (error) {
    // llama.cpp's own words come through its logger, a moment later.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const cause = nativeErrors.find((one) => one.includes("architecture")) ?? nativeErrors[0] ?? String(error);
    throw new Error(`llama.cpp can't load ${settings.file}: ${cause.split("\n")[0]}. ${adviceFor(cause)}`, { cause: error });
  }
}

async function loadWithLlama(
  type: (typeof resolvableChatWrapperTypeNames)[number],
): Promise<{ model: LlamaModel; context: LlamaContext; chat: ChatWrapper }> {
  const llama = await getLlama({
    gpu: false,
    build: "never",
    skipDownload: true,
    // More threads than cores wait for each other in turns: by default it would take four.
    maxThreads: settings.threads || availableParallelism(),
    logLevel: LlamaLogLevel.error,
    logger: (_level, message) => {
      if (nativeErrors.length < 100) nativeErrors.push(message.trim());
    },
  });
  const model = await llama.loadModel({ modelPath: settings.file });
  const context = await model.createContext({
    contextSize: settings.contextTokens,
    sequences: settings.parallel,
    threads: settings.threads || availableParallelism(),
  });
  nativeErrors.length = 0;
  return { model, context, chat: resolveChatWrapper(model, { type, warningLogs: false }) };
}

function factsOf(model: LlamaModel, chat: ChatWrapper): GgufFacts {
  const { license: licence } = model.fileInfo.metadata.general;
  const template = Object.entries(chatWrappers).find(([, Wrapper]) => chat.constructor === Wrapper)?.[0] ?? "general";
  return { contextTokens: model.trainContextSize, licence, template };
}

interface Loaded {
  readonly model: LlamaModel;
  readonly chat: ChatWrapper;
  readonly sequences: LlamaContextSequence[];
  readonly stopTokens: ReadonlySet<Token>;
}

interface Asked {
  readonly generation: Generation;
  readonly grammars: Grammars;
}

async function serve(call: number, asked: Asked, loaded: Loaded): Promise<void> {
  const cancel = new AbortController();
  running.set(call, cancel);
  // The parent never has more calls running than there are sequences.
  const sequence = loaded.sequences.pop();
  try {
    if (sequence === undefined) throw new Error("no sequence left");
    await generate(call, asked, loaded, sequence, cancel.signal);
  } catch (error) {
    if (error instanceof EngineFault) send({ type: "fault", call, code: error.code, message: error.message });
    else if (!cancel.signal.aborted) {
      send({ type: "fault", call, code: "engine_died", message: "The engine failed in the middle of this call. Send it once more." });
    }
  } finally {
    running.delete(call);
    if (sequence !== undefined) {
      // One caller's cached state is never there for the next one.
      await sequence.clearHistory();
      loaded.sequences.push(sequence);
    }
    send({ type: "free", call });
  }
}

async function generate(
  call: number,
  { generation, grammars }: Asked,
  loaded: Loaded,
  sequence: LlamaContextSequence,
  signal: AbortSignal,
): Promise<void> {
  const { model, chat, stopTokens } = loaded;
  const turns = withTools(generation.turns, generation.tools);
  const begun = generation.tools?.required === true ? callOpens : "";
  const prompt = chat.generateContextState({ chatHistory: history(turns, begun) }).contextText.tokenize(model.tokenizer);
  const tokensMax = generation.tokensMax ?? Math.max(1, sequence.contextSize - prompt.length);
  if (prompt.length + tokensMax > sequence.contextSize) {
    throw new EngineFault(
      "context_length_exceeded",
      `This model's context is ${sequence.contextSize} tokens; the messages take ${prompt.length} and the answer may take ${tokensMax}, ` +
        `${prompt.length + tokensMax} together. Shorten the messages or the answer.`,
    );
  }
  send({ type: "event", call, event: { type: "prompt", tokens: prompt.length } });
  const last = prompt.length - 1;
  for (let at = 0; at < last; at += prefillTokens) {
    await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(at, Math.min(at + prefillTokens, last)));
    if (signal.aborted) return;
  }
  const text = new TokenText(model, prompt);
  const [answerGrammar, callGrammar] = [await grammarFor(model, grammars.answer), await grammarFor(model, grammars.call)];
  const reader = generation.tools && new CallReader(generation.tools);
  reader?.add(begun, 0);
  let limit = answerGrammar?.();
  let called = false;
  const tell = (events: readonly EngineEvent[]): void => {
    for (const event of events) {
      called ||= event.type === "call";
      send({ type: "event", call, event });
    }
    if (reader?.isAtCall) limit = callGrammar?.();
    else if (reader?.isInCall === false) limit = undefined;
  };
  const emit: Emit = (piece, taken) => tell(reader?.add(piece, taken) ?? [{ type: "text", text: piece, tokens: taken }]);
  tell([]);
  const recent: Token[] = [];
  const { defaults } = settings;
  const tokens = sequence.evaluate(prompt.slice(last), {
    temperature: generation.temperature ?? defaults.temperature ?? 1,
    topP: generation.topP ?? defaults.topP ?? 1,
    ...(defaults.topK === undefined ? {} : { topK: defaults.topK }),
    ...(defaults.minP === undefined ? {} : { minP: defaults.minP }),
    ...(defaults.repeatPenalty === undefined ? {} : { repeatPenalty: { penalty: defaults.repeatPenalty, punishTokens: () => recent } }),
    ...(generation.seed === undefined ? {} : { seed: generation.seed }),
    ...(answerGrammar === undefined && callGrammar === undefined ? {} : { grammarEvaluationState: () => limit }),
  });
  let count = 0;
  let reason: "stop" | "length" = "stop";
  for await (const token of tokens) {
    if (signal.aborted) return;
    if (stopTokens.has(token)) break;
    count += 1;
    if (recent.push(token) > recentTokens) recent.shift();
    text.add(token, emit);
    if (called && generation.tools?.parallel === false) break;
    if (count >= tokensMax) {
      reason = "length";
      break;
    }
  }
  text.flush(emit);
  tell(reader?.end(reason) ?? []);
  send({ type: "event", call, event: { type: "end", reason } });
}

/** Grammars that were read lately, by their text. */
const grammarsRead = new Map<string, LlamaGrammar>();
const grammarsKept = 100;

/** Makes states of a grammar; throws `EngineFault` where llama.cpp can't read it. */
async function grammarFor(model: LlamaModel, text: string | undefined): Promise<(() => LlamaGrammarEvaluationState) | undefined> {
  if (text === undefined) return undefined;
  let grammar = grammarsRead.get(text);
  if (grammar === undefined) {
    try {
      grammar = await model.llama.createGrammar({ grammar: text });
      new LlamaGrammarEvaluationState({ model, grammar });
    } catch {
      throw new EngineFault("schema_unsupported", "The engine can't follow this schema: it refers to itself without end, or is too large.");
    }
    for (const oldest of [...grammarsRead.keys()].slice(0, grammarsRead.size - grammarsKept + 1)) grammarsRead.delete(oldest);
    grammarsRead.set(text, grammar);
  }
  const read = grammar;
  return () => new LlamaGrammarEvaluationState({ model, grammar: read });
}

type Emit = (text: string, tokens: number) => void;

/** Turns tokens into text; a character whose bytes are spread over several tokens comes out whole. */
class TokenText {
  readonly #model: LlamaModel;
  #previous: Token[];
  #open: Token[] = [];

  constructor(model: LlamaModel, prompt: Token[]) {
    this.#model = model;
    this.#previous = prompt.slice(-8);
  }

  add(token: Token, emit: Emit): void {
    this.#open.push(token);
    // No character has more than four bytes; more tokens than that are broken for good.
    if (this.#text().endsWith("\uFFFD") && this.#open.length < 5) return;
    this.flush(emit);
  }

  flush(emit: Emit): void {
    if (this.#open.length === 0) return;
    emit(this.#text(), this.#open.length);
    this.#previous = [...this.#previous, ...this.#open].slice(-8);
    this.#open = [];
  }

  #text(): string {
    return this.#model.detokenize(this.#open, false, this.#previous);
  }
}

/** Text of the turns stays text: a `<|im_end|>` written by a user is never taken for the real one. `begun`: what the answer begins with. */
function history(turns: readonly Turn[], begun = ""): ChatHistoryItem[] {
  const items = turns.map(({ role, text }): ChatHistoryItem => {
    if (role === "assistant") return { type: "model", response: [text] };
    return role === "system" ? { type: "system", text: LlamaText(text).toJSON() } : { type: "user", text };
  });
  return [...items, { type: "model", response: begun === "" ? [] : [begun] }];
}

function adviceFor(cause: string): string {
  return cause.includes("architecture")
    ? "This version of the engine does not know that kind of model: use another one."
    : "The file is damaged or not a model: fetch it again (`npx sallyport models pull`).";
}

function send(message: FromChild): void {
  // Where the parent is gone, `disconnect` follows.
  process.send?.(message, () => {});
}
