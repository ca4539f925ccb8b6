/** What is needed of a llama.cpp sequence: a place for one call's keys and values. */
export interface Sequence<Token> {
  /** How many tokens it holds. */
  readonly nextTokenIndex: number;
  compareContextTokens(tokens: Token[]): { firstDifferentIndex: number };
  /** Keeps what it has in common with `tokens`, or nothing where the model can't go back so far. */
  adaptStateToTokens(tokens: Token[], allowShift: boolean): Promise<void>;
  clearHistory(): Promise<void>;
}

export interface Place<Token, S> {
  readonly sequence: S;
  /** Position in llama.cpp's numbering. */
  readonly index: number;
  taken: boolean;
  /** Whose tokens it holds; undefined when it is empty. */
  owner: string | undefined;
  /** Those that it began with and that are nobody's own. */
  shared: readonly Token[];
  leftAt: number;
}

/** Gives each call a sequence, if possible one that holds the beginning of its prompt from an earlier call of the same identity. */
export class Sequences<Token, S extends Sequence<Token>> {
  readonly #places: readonly Place<Token, S>[];
  readonly #keptTokensMax: number;
  #leavings = 0;

  /** `keptTokensMax`: how many tokens of calls that have ended are kept, all identities together. */
  constructor(sequences: readonly S[], keptTokensMax: number) {
    this.#places = sequences.map((sequence, index) => ({ sequence, index, taken: false, owner: undefined, shared: [], leftAt: 0 }));
    this.#keptTokensMax = keptTokensMax;
  }

  /**
   * Its sequence holds nothing but the first `nextTokenIndex` tokens of the prompt. There must be a free one. `shared`: what the prompt begins with that
   * is nobody's own; it stays for another identity, if the last one had exactly the same: how much of it is there must not depend on what that one sent.
   */
  async take(identity: string, prompt: Token[], shared: readonly Token[] = []): Promise<Place<Token, S>> {
    const place = this.#best(identity, prompt);
    if (place === undefined) throw new Error("no sequence left");
    const own = place.owner === identity;
    const stays = shared.length === place.shared.length && shared.every((token, index) => token === place.shared[index]);
    place.taken = true;
    place.owner = identity;
    place.shared = shared;
    try {
      // The last token of a prompt is always computed: what comes after it is asked for.
      if (own) await place.sequence.adaptStateToTokens(prompt.slice(0, -1), false);
      else if (stays && shared.length > 0) await place.sequence.adaptStateToTokens([...shared], false);
      else await place.sequence.clearHistory();
    } catch (error) {
      place.taken = false;
      place.owner = undefined; // whatever it holds is cleared before it is used again
      place.shared = [];
      throw error;
    }
    return place;
  }

  /** Keeps what it holds for the same identity, as far as that and what others left may be kept; the oldest goes first. */
  async give(place: Place<Token, S>): Promise<void> {
    place.leftAt = ++this.#leavings;
    place.taken = false;
    const idle = this.#places.filter((one) => !one.taken).toSorted((a, b) => a.leftAt - b.leftAt);
    let kept = idle.reduce((sum, one) => sum + one.sequence.nextTokenIndex, 0);
    const emptied = idle.filter((one) => {
      if (kept <= this.#keptTokensMax) return false;
      kept -= one.sequence.nextTokenIndex;
      one.owner = undefined;
      one.shared = [];
      return true;
    });
    await Promise.all(emptied.map((one) => one.sequence.clearHistory()));
  }

  /** The one that saves most, if it saves a quarter of the prompt; otherwise an empty one, or the one that was left first. Beside one that computes, if there is a choice: llama.cpp takes what stands apart in batches of its own. */
  #best(identity: string, prompt: Token[]): Place<Token, S> | undefined {
    const idle = this.#places.filter((one) => !one.taken);
    const saving = ({ owner, sequence }: Place<Token, S>): number => {
      const saved = owner === identity ? sequence.compareContextTokens(prompt).firstDifferentIndex : 0;
      return saved * 4 >= prompt.length ? saved : 0;
    };
    const ranked = idle.map((place) => {
      const near = this.#places.filter(({ taken, index }) => taken && Math.abs(index - place.index) === 1).length;
      const isEmpty = place.owner === undefined;
      return { place, near, saved: saving(place), isEmpty };
    });
    const order = (a: (typeof ranked)[number], b: (typeof ranked)[number]): number =>
      b.saved - a.saved || Number(b.isEmpty) - Number(a.isEmpty) || b.near - a.near || a.place.leftAt - b.place.leftAt;
    return ranked.toSorted(order)[0]?.place;
  }
}
