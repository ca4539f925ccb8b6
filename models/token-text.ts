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

  constructor(model: Detokenizer<Token>, prompt: Token[]) {
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
