/** The token that each row of logits should have predicted. */

import type { Pair } from "../align/align.ts";
import { extentOf } from "../align/shapes.ts";
import { readIds, type TokenTable, tokenKey } from "../align/tokens.ts";
import type { Dump } from "../dump/dump.ts";
import type { ScoredLogits } from "../dump/scored-logits.ts";

/** Token ids read ahead of the rows that they belong to. */
const IDS_AT_ONCE = 4096;

/**
 * Row t of a prompt predicts token t + 1, that of a decode step the token that
 * the next step was fed with.
 */
export class TrueTokens {
  private readonly reference: Dump;
  private readonly tokens: TokenTable;
  private readonly scored: ScoredLogits | null;
  private pair: Pair | null = null;
  private ids: Float64Array = new Float64Array(0);
  private idsFrom = 0;

  /**
   * @param tokens the ids of the reference.
   * @param scored which rows of the prompts there are; null where all are.
   */
  constructor(reference: Dump, tokens: TokenTable, scored: ScoredLogits | null) {
    this.reference = reference;
    this.tokens = tokens;
    this.scored = scored;
  }

  /**
   * The token after row `row`; −1 where there is none or no ids are known. An id
   * that is none is beyond any vocabulary: no logit belongs to it.
   */
  after(pair: Pair, row: number): number {
    if (pair !== this.pair) {
      this.pair = pair;
      this.ids = new Float64Array(0);
    }
    const { rows } = extentOf(pair.reference.shape);
    const scored = pair.step === 0 ? this.scored : null;
    if (scored === null && row + 1 >= rows) return pair.step === 0 ? -1 : this.ofNextStep(pair);
    const entry = this.tokens.get(tokenKey(pair.sample, pair.step));
    const first = scored?.firstToken ?? 0;
    // The last scored row has a token behind it.
    if (entry?.elements !== (scored === null ? rows : first + rows + 1)) return -1;
    const wanted = first + row + 1;
    if (wanted < this.idsFrom || wanted >= this.idsFrom + this.ids.length) {
      this.idsFrom = wanted;
      const count = Math.min(IDS_AT_ONCE, entry.elements - wanted);
      this.ids = readIds(this.reference, entry, wanted, count);
    }
    return withinVocabulary(this.ids[wanted - this.idsFrom] ?? -1);
  }

  private ofNextStep({ sample, step }: Pair): number {
    const entry = this.tokens.get(tokenKey(sample, step + 1));
    const id =
      entry === undefined || entry.elements === 0
        ? undefined
        : readIds(this.reference, entry, 0, 1)[0];
    return id === undefined ? -1 : withinVocabulary(id);
  }
}

/**
 * A negative id is beyond the vocabulary like one that is too large: no logit
 * belongs to it, and so no perplexity comes of it.
 */
function withinVocabulary(id: number): number {
  return id < 0 ? Number.MAX_SAFE_INTEGER : id;
}
