/** The engine's own process: loads one GGUF with llama.cpp and generates for the parent that started it. Holds no sockets. */
import { randomInt } from "node:crypto";
import { availableParallelism } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import {
  type EvaluationPriority,
  type Llama,
  type LlamaContextSequence,
  type LlamaGrammarEvaluationState,
  type LlamaModel,
  type Token,
  TokenBias,
} from "node-llama-cpp";
import { type EngineEvent, EngineFault, type Generation } from "./engine.ts";
import { readGgufHead } from "./gguf-head.ts";
import { grammarFor } from "./llama-grammar.ts";
import { deviceOf, factsOf, load, openLlama } from "./llama-load.ts";
import type { FromChild, Grammars, LlamaSettings, ToChild } from "./llama-protocol.ts";
import { Lockstep } from "./lockstep.ts";
import { bytesPerToken } from "./memory.ts";
import { PieceSize } from "./piece-size.ts";
import { history, promptOf, type Reader, sharedTokens } from "./prompt-tokens.ts";
import { type Place, Sequences } from "./sequences.ts";
import { SpareCores } from "./spare-cores.ts";
import { TokenBiases } from "./token-biases.ts";
import { type Emit, TokenText } from "./token-text.ts";
import { CallReader } from "./tool-calls.ts";
import { verifyFile } from "./verify-file.ts";

/** How far back a penalty on repetition looks, in tokens of the answer. */
const recentTokens = 64;
/** llama.cpp takes seeds below this; the one that is left would mean a random one. */
const seedsEnd = 2 ** 32 - 1;

const settings = JSON.parse(process.argv[2] ?? "{}") as LlamaSettings; // written by LlamaEngine, from checked config
const running = new Map<number, AbortController>();
const threadsMax = settings.threads || availableParallelism();
/** For steps of running answers, and for pieces of prompts, which take ten times as long: a program that looks in takes much of the former and nothing of the latter. */
const cores = new SpareCores(threadsMax);
const coresOfPieces = new SpareCores(threadsMax);
let llama: Llama | undefined;
const steps = new Lockstep({
  begun: () => useThreads(cores.begin()),
  stepped: () => {
    useThreads(cores.next());
    if (performance.now() - toldMs > settings.stallMs / 8) {
      toldMs = performance.now();
      send({ type: "progress" });
    }
  },
});
const pieceSize = new PieceSize(settings.prefillStepMs);
let toldMs = 0;
/** Prompts take turns, a piece of one of them between two steps. */
let lastPiece: Promise<unknown> = Promise.resolve();

// Ctrl-C and service stops reach the whole process group; the parent decides when the engine ends.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});
process.on("SIGHUP", () => {});
process.on("disconnect", () => process.exit(0));

// A file can bring a template that never ends: the parent hears nothing more then.
const loading = setInterval(() => send({ type: "progress" }), 1_000);
try {
  // Nothing of the file is read by llama.cpp before it is known to be the right one; llama.cpp itself opens meanwhile.
  const [opened] = await Promise.all([openLlama(settings.gpu, threadsMax), verifyFile(settings.file, settings)]);
  llama = opened.llama;
  const head = readGgufHead(settings.file);
  const { model, context, chat } = await load(opened, settings, head);
  const all = Array.from({ length: settings.parallel }, () => context.getSequence());
  const contextTokens = all[0]?.contextSize ?? 0;
  const sequences = new Sequences<Token, LlamaContextSequence>(all, Math.floor(settings.cacheBytesMax / bytesPerToken(head)));
  const stopTokens = new Set<Token>();
  const stops: string[] = [];
  for (const trigger of chat.generateContextState({ chatHistory: history([]) }).stopGenerationTriggers) {
    const tokens = trigger.tokenize(model.tokenizer);
    if (tokens[0] !== undefined && tokens.length === 1) stopTokens.add(tokens[0]);
    else stops.push(trigger.toString());
  }
  process.on("message", (message: ToChild) => {
    if (message.type === "cancel") running.get(message.call)?.abort();
    else if (message.type === "tokenise") void tellTokens(message.call, message.generation, { model, chat });
    else void serve(message.call, message, { model, chat, sequences, contextTokens, stopTokens });
  });
  clearInterval(loading);
  send({ type: "ready", contextTokens, stops, device: deviceOf(opened, settings.gpu, model), facts: factsOf(model, chat) });
} catch (error) {
  clearInterval(loading);
  send({ type: "unfit", message: error instanceof Error ? error.message : String(error) });
  process.disconnect();
}

interface Loaded extends Reader {
  readonly sequences: Sequences<Token, LlamaContextSequence>;
  readonly contextTokens: number;
  readonly stopTokens: ReadonlySet<Token>;
}

function useThreads(count: number): void {
  if (llama !== undefined) llama.maxThreads = count;
}

interface Asked {
  readonly generation: Generation;
  readonly grammars: Grammars;
}

async function tellTokens(call: number, generation: Generation, loaded: Reader): Promise<void> {
  const begunMs = performance.now();
  try {
    send({ type: "tokens", call, tokens: promptOf(generation, loaded).prompt });
  } catch {
    send({ type: "fault", call, code: "engine_died", message: "The engine can't read this prompt." });
  }
  if (steps.isBusy) await pause(restMs(performance.now() - begunMs));
  send({ type: "free", call });
}

/** How long running answers go on alone, after a prompt was read for so long. */
function restMs(tookMs: number): number {
  return tookMs * (1 / settings.prefillShare - 1);
}

async function serve(call: number, asked: Asked, loaded: Loaded): Promise<void> {
  const cancel = new AbortController();
  running.set(call, cancel);
  try {
    await generate(call, asked, loaded, cancel.signal);
  } catch (error) {
    if (error instanceof EngineFault) send({ type: "fault", call, code: error.code, message: error.message });
    else if (!cancel.signal.aborted) {
      send({ type: "fault", call, code: "engine_died", message: "The engine failed in the middle of this call. Send it once more." });
    }
  } finally {
    running.delete(call);
    send({ type: "free", call });
  }
}

async function generate(call: number, { generation, grammars }: Asked, loaded: Loaded, signal: AbortSignal): Promise<void> {
  const { model, chat, sequences, contextTokens } = loaded;
  checkBiases(generation.logitBias, model);
  const { prompt, begun } = promptOf(generation, { model, chat });
  const left = Math.max(1, contextTokens - prompt.length);
  const tokensMax = generation.contextMayEnd ? Math.min(left, generation.tokensMax ?? left) : (generation.tokensMax ?? left);
  if (prompt.length + tokensMax > contextTokens) {
    throw new EngineFault(
      "context_length_exceeded",
      `This model's context is ${contextTokens} tokens; the messages take ${prompt.length} and the answer may take ${tokensMax}, ` +
        `${prompt.length + tokensMax} together. Shorten the messages or the answer.`,
    );
  }
  const { identity } = generation;
  const [answerGrammar, callGrammar] = [
    await grammarFor(model, grammars.answer, identity),
    await grammarFor(model, grammars.call, identity),
  ];
  const place = await sequences.take(identity, prompt, sharedTokens(generation.shared, prompt, loaded));
  try {
    send({ type: "event", call, event: { type: "prompt", tokens: prompt.length, cached: place.sequence.nextTokenIndex } });
    await prefill(prompt, place, signal);
    if (signal.aborted) return;
    steps.join();
    try {
      await steps.wait(); // with the others, not before them
      await decode(call, generation, loaded, { prompt, tokensMax, place, begun, answerGrammar, callGrammar }, signal);
    } finally {
      steps.leave();
    }
  } finally {
    await sequences.give(place);
  }
}

/** All but the last token of the prompt, in pieces: running answers go on between them, other prompts have their turn, and a cancel is heard. */
async function prefill(prompt: Token[], { sequence }: Place<Token, LlamaContextSequence>, signal: AbortSignal): Promise<void> {
  const left = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  while (sequence.nextTokenIndex < prompt.length - 1 && !signal.aborted) {
    let begun = false;
    let tookMs = 0;
    const turn = lastPiece.then(async () => {
      if (signal.aborted) return;
      begun = true;
      const at = sequence.nextTokenIndex;
      const piece = prompt.slice(at, at + pieceSize.next(prompt.length - 1 - at));
      await steps.alone(async () => {
        if (signal.aborted) return; // while it waited for the answers' step
        const begunMs = performance.now();
        useThreads(coresOfPieces.begin());
        await sequence.evaluateWithoutGeneratingNewTokens(piece);
        coresOfPieces.next();
        useThreads(cores.begin());
        tookMs = performance.now() - begunMs;
        pieceSize.took(piece.length, tookMs);
      });
    });
    lastPiece = turn.then(
      async () => (steps.isBusy ? await pause(restMs(tookMs), undefined, { signal }).catch(() => {}) : undefined),
      () => {}, // it is its own call that fails
    );
    await Promise.race([turn, left]);
    if (begun) await turn;
  }
}

interface Decoding {
  readonly prompt: Token[];
  readonly tokensMax: number;
  readonly place: Place<Token, LlamaContextSequence>;
  /** The beginning of the answer, which the prompt ends with. */
  readonly begun: string;
  readonly answerGrammar: (() => LlamaGrammarEvaluationState) | undefined;
  readonly callGrammar: (() => LlamaGrammarEvaluationState) | undefined;
}

async function decode(
  call: number,
  generation: Generation,
  { model, stopTokens }: Loaded,
  { prompt, tokensMax, place: { sequence, index }, begun, answerGrammar, callGrammar }: Decoding,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return;
  const text = new TokenText(model, prompt);
  const reader = generation.tools && new CallReader(generation.tools);
  reader?.add(begun, 0);
  let limit = answerGrammar?.();
  let called = false;
  const tell = (events: readonly EngineEvent[]): void => {
    for (const event of events) {
      called ||= event.type === "call";
      send({ type: "event", call, event });
    }
    if (reader?.isInCall === false) limit = undefined;
    else if (reader?.isAtCall) limit ??= callGrammar?.();
  };
  const emit: Emit = (piece, taken) => tell(reader?.add(piece, taken) ?? [{ type: "text", text: piece, tokens: taken }]);
  tell([]);
  const recent: Token[] = [];
  const tokenBias = TokenBias.for(model);
  const biases = new TokenBiases(generation, (token, logit) => tokenBias.set(token as Token, { logit })); // checked: it is in the vocabulary
  const { defaults } = settings;
  const { topK = defaults.topK, minP = defaults.minP, seed = randomInt(seedsEnd) } = generation;
  const tokens = sequence.evaluate(prompt.slice(-1), {
    evaluationPriority: index as EvaluationPriority, // any number will do: it is only read above
    temperature: generation.temperature ?? defaults.temperature ?? 1,
    topP: generation.topP ?? defaults.topP ?? 1,
    ...(topK === undefined ? {} : { topK }),
    ...(minP === undefined ? {} : { minP }),
    ...(defaults.repeatPenalty === undefined ? {} : { repeatPenalty: { penalty: defaults.repeatPenalty, punishTokens: () => recent } }),
    tokenBias,
    seed: ((seed % seedsEnd) + seedsEnd) % seedsEnd,
    ...(answerGrammar === undefined && callGrammar === undefined ? {} : { grammarEvaluationState: () => limit }),
  });
  let count = 0;
  let reason: "stop" | "length" = "stop";
  for await (const token of tokens) {
    if (signal.aborted) return;
    if (stopTokens.has(token)) break; // those that end any answer are not even told
    count += 1;
    if (recent.push(token) > recentTokens) recent.shift();
    biases.add(token);
    text.add(token, emit);
    if (called && generation.tools?.parallel === false) break;
    if (count >= tokensMax) {
      reason = "length";
      break;
    }
    await steps.wait();
  }
  text.flush(emit);
  tell(reader?.end(reason) ?? []);
  send({ type: "event", call, event: { type: "end", reason } });
}

/** Throws `EngineFault` for a bias of what is no token of this model, or one that llama.cpp would be told in vain. */
function checkBiases(biases: Generation["logitBias"], model: LlamaModel): void {
  const { length } = model.fileInfo.metadata.tokenizer.ggml.tokens;
  for (const token of Object.keys(biases ?? {}).map(Number)) {
    if (token >= length)
      throw new EngineFault("logit_bias_unsupported", `\`logit_bias\`: there is no token ${token}; this model's are 0 to ${length - 1}.`);
    if (model.isEogToken(token as Token))
      throw new EngineFault("logit_bias_unsupported", `\`logit_bias\`: token ${token} ends the answer, and can't have a bias.`);
  }
}

function send(message: FromChild): void {
  // Where the parent is gone, `disconnect` follows.
  process.send?.(message, () => {});
}
