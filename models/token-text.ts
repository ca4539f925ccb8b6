/** What turns tokens into text; `previous` are those before them. */
interface Detokenizer<Token> {
  detokenize(tokens: readonly Token[], specialTokens: boolean, previous: readonly Token[]): string;
}

export type Emit = (text: string, tokens: number) => void;

/** Turns tokens into text; a character whose bytes are spread over several tokens comes out whole. */
export class TokenText<Token> {
  readonly #model: Detokenizer<Token>;
  #previous: Token[];
  #open: Token[] = [];
  /** Tokens since the last whole character. */
  #broken = 0;
  #wholeChars = 0;

  constructor(model: Detokenizer<Token>, prompt: Token[]) {
    this.#model = model;
    this.#previous = prompt.slice(-8);
  }

  add(token: Token, emit: Emit): void {
    this.#open.push(token);
    const text = this.#text();
    const { length } = text.replace(/\uFFFD+$/u, "");
    this.#broken = length > this.#wholeChars ? 0 : this.#broken + 1;
    this.#wholeChars = length;
    // No character has more than four bytes; more tokens than that are broken for good.
    if (text.endsWith("\uFFFD") && this.#broken < 5) return;
    this.#release(text, emit);
  }

  flush(emit: Emit): void {
    if (this.#open.length > 0) this.#release(this.#text(), emit);
  }

  #release(text: string, emit: Emit): void {
    emit(text, this.#open.length);
    this.#previous = [...this.#previous, ...this.#open].slice(-8);
    this.#open = [];
    this.#broken = 0;
    this.#wholeChars = 0;
  }

  #text(): string {
    return this.#model.detokenize(this.#open, false, this.#previous);
  }
}
