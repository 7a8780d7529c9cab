/**
 * What the model says, from the logits of the prompts or of the decode steps,
 * gathered while they stream by.
 */

import type { Pair } from "../align/align.ts";
import { extentOf } from "../align/shapes.ts";
import { readIds, type TokenTable, tokenKey } from "../align/tokens.ts";
import type { DecodeQuality, Quality, TokenAt } from "../core/result.ts";
import type { Dump } from "../dump/dump.ts";
import { Agreement } from "./agreement.ts";
import { CentredError } from "./centred-error.ts";
import { Divergence } from "./divergence.ts";
import type { RowObserver } from "./measure-tensor.ts";
import { Predictions } from "./predictions.ts";
import { SoftmaxPair } from "./softmax-pair.ts";

/** Token ids read ahead of the rows that they belong to. */
const IDS_AT_ONCE = 4096;

/** The part of {@link Quality} that comes from logits. */
export type LogitsQuality = Omit<Quality, "firstToken" | "generation" | "determinism" | "decode">;

/** Whether the greedy token after the last row of a sample agrees, by sample. */
export type LastRowAgreement = ReadonlyMap<number, boolean>;

/**
 * Gathers {@link LogitsQuality} over the rows of `logits` of one step group.
 *
 * Row t of a prompt predicts token t + 1, that of a decode step the token that
 * the next step was fed with; a row whose token is not known, as after the last
 * one of a prompt, counts in KL and agreement, not in perplexity. Everything is
 * accumulated in float64. A NaN or +∞ in a row makes the figures that need it
 * NaN: such a figure is never a pass.
 */
export class LogitsMeter implements RowObserver {
  private readonly reference: Dump;
  private readonly tokens: TokenTable;
  /** Factors that bring each floor's errors to the candidate's precision. */
  private readonly floorScales: readonly number[];

  private pair: Pair | null = null;
  private floorAt: readonly number[] = [];
  private rows = 0;
  private vocabulary = 0;
  private ids: Float64Array = new Float64Array(0);
  private idsFrom = 0;

  private readonly softmax = new SoftmaxPair();
  private readonly floorSoftmax: readonly SoftmaxPair[];
  private readonly error = new CentredError();
  private readonly floorErrors: readonly CentredError[];
  /** The true token of the row under way, and its logits. */
  private readonly truth = { id: -1, reference: Number.NaN, candidate: Number.NaN };

  private readonly predictions = new Predictions();
  private readonly divergence: Divergence;
  private readonly agreement = new Agreement();
  private readonly lastRows = new Map<number, boolean>();

  /**
   * @param tokens the ids of the reference; without them nothing that needs
   *   the true token is measured.
   * @param floorScales one for each floor.
   */
  constructor(reference: Dump, tokens: TokenTable, floorScales: readonly number[]) {
    this.reference = reference;
    this.tokens = tokens;
    this.floorScales = floorScales;
    this.floorSoftmax = floorScales.map(() => new SoftmaxPair());
    this.floorErrors = floorScales.map(() => new CentredError());
    this.divergence = new Divergence(floorScales.length);
  }

  startPair(pair: Pair, floors: readonly number[]): void {
    const { rows, width } = extentOf(pair.reference.shape);
    this.pair = pair;
    this.floorAt = floors;
    this.rows = rows;
    this.vocabulary = width;
    this.ids = new Float64Array(0);
    this.idsFrom = 0;
  }

  columns(
    values: readonly Float64Array[],
    start: number,
    length: number,
    row: number,
    column: number,
  ): void {
    const [x, y, ...floors] = values as readonly [Float64Array, Float64Array];
    if (column === 0) this.truth.id = this.trueToken(row);
    const { id } = this.truth;
    if (id >= column && id < column + length) {
      this.truth.reference = x[start + id - column] as number;
      this.truth.candidate = y[start + id - column] as number;
    }
    this.softmax.add(x, y, start, length);
    this.error.add(x, y, start, length);
    for (const [position, f] of (floors as readonly Float64Array[]).entries()) {
      const floor = this.floorAt[position] ?? -1;
      this.floorSoftmax[floor]?.add(x, f, start, length);
      this.floorErrors[floor]?.add(x, f, start, length);
    }
    this.agreement.add(x, y, start, length, column);
  }

  endRow(row: number): void {
    const { pair, softmax, truth } = this;
    if (pair === null) return;
    const at: TokenAt = { sample: pair.sample, step: pair.step, token: row };
    if (truth.id >= 0) {
      // An id beyond the vocabulary leaves NaN here, and so no perplexity.
      this.predictions.add(
        truth.reference - softmax.lseReference,
        truth.candidate - softmax.lseCandidate,
      );
    }
    this.divergence.add(softmax.kl, at);
    let floorSigma: number | null = null;
    for (const floor of this.floorAt) {
      const scale = this.floorScales[floor] ?? 1;
      // KL grows with the square of the error.
      this.divergence.addFloor(floor, scale ** 2 * (this.floorSoftmax[floor]?.kl ?? Number.NaN));
      const sigma = scale * (this.floorErrors[floor]?.sigma ?? Number.NaN);
      if (Number.isFinite(sigma)) floorSigma = Math.max(floorSigma ?? 0, sigma);
      this.floorSoftmax[floor]?.reset();
      this.floorErrors[floor]?.reset();
    }
    const agrees = this.agreement.endRow(this.vocabulary, floorSigma, this.error.sigma);
    if (row === this.rows - 1 && pair.step === 0) this.lastRows.set(pair.sample, agrees);
    softmax.reset();
    this.error.reset();
    truth.reference = Number.NaN;
    truth.candidate = Number.NaN;
  }

  endSample(): void {
    this.predictions.endSample();
    this.divergence.endSample();
  }

  /** Whether the greedy token after each prompt agrees. */
  get lastRowAgreement(): LastRowAgreement {
    return this.lastRows;
  }

  /** The figures; null where not a row was seen. */
  quality(): LogitsQuality {
    const [perplexity, perplexitySeed] = this.predictions.perplexity();
    return {
      perplexity,
      perplexitySeed,
      kl: this.divergence.result(),
      ...this.agreement.result(),
      deltaP: this.predictions.deltaP(),
      klLowerBound: null,
      lse: null,
      notAvailable: [],
    };
  }

  /** The same of decode steps; null where not a row was seen. */
  decodeQuality(): DecodeQuality | null {
    const kl = this.divergence.result();
    if (kl === null) return null;
    const [perplexity] = this.predictions.perplexity();
    return { perplexity, kl, ...this.agreement.result(), deltaP: this.predictions.deltaP() };
  }

  /** The token after row `row`; -1 where there is none or no ids are known. */
  private trueToken(row: number): number {
    const { pair } = this;
    if (pair === null) return -1;
    if (row + 1 >= this.rows) return pair.step === 0 ? -1 : this.tokenOfNextStep(pair);
    const entry = this.tokens.get(tokenKey(pair.sample, pair.step));
    if (entry?.elements !== this.rows) return -1;
    const wanted = row + 1;
    if (wanted < this.idsFrom || wanted >= this.idsFrom + this.ids.length) {
      this.idsFrom = wanted;
      const count = Math.min(IDS_AT_ONCE, entry.elements - wanted);
      this.ids = readIds(this.reference, entry, wanted, count);
    }
    return withinVocabulary(this.ids[wanted - this.idsFrom] ?? -1);
  }

  private tokenOfNextStep({ sample, step }: Pair): number {
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
