/**
 * What the model says: perplexity, KL, agreement and flips, from the logits of
 * the prompt, gathered while they stream by.
 */

import type { Pair } from "../align/align.ts";
import { readIds, type TokenTable, tokenKey } from "../align/tokens.ts";
import { Distribution } from "../core/distribution.ts";
import type {
  DeltaPResult,
  FlipsResult,
  KlResult,
  PerplexityResult,
  Quality,
  TokenAt,
  Top1Result,
} from "../core/result.ts";
import { type ClusterSum, clusteredMean, normalCdf, wilsonInterval } from "../core/statistics.ts";
import type { Dump } from "../dump/dump.ts";
import type { RowObserver } from "./measure-tensor.ts";
import { SoftmaxPair, TopK } from "./softmax-pair.ts";

/** KL_t is raised to this before its logarithm is averaged: float64 rounding leaves equal rows anywhere below it. */
const LEAST_KL = 1e-12;

/** A flip whose margin is below so many σ is a near tie; 99 % of benign bf16 flips are (138 flips of SmolLM2-135M). */
export const NEAR_TIE = 4;

/** Token ids read ahead of the rows that they belong to. */
const IDS_AT_ONCE = 4096;

/** The part of {@link Quality} that comes from logits. */
export type LogitsQuality = Pick<
  Quality,
  "perplexity" | "perplexitySeed" | "kl" | "top1Agreement" | "topKOverlap" | "flips" | "deltaP"
>;

/** Whether the greedy token after the last row of a sample agrees, by sample. */
export type LastRowAgreement = ReadonlyMap<number, boolean>;

/** A sum over the tokens of each sample. */
class SampleSums {
  readonly clusters: ClusterSum[] = [];
  private count = 0;
  private sum = 0;

  add(value: number): void {
    this.count += 1;
    this.sum += value;
  }

  endSample(): void {
    this.clusters.push({ count: this.count, sum: this.sum });
    this.count = 0;
    this.sum = 0;
  }

  get total(): ClusterSum {
    return this.clusters.reduce(
      (all, { count, sum }) => ({ count: all.count + count, sum: all.sum + sum }),
      { count: 0, sum: 0 },
    );
  }
}

/** Running maxima of one row on one side. */
class Best {
  value = Number.NEGATIVE_INFINITY;
  index = -1;
  /** The second largest value; equal to `value` in a tie. */
  second = Number.NEGATIVE_INFINITY;
  /** What the other side has at `index`. */
  other = Number.NaN;

  reset(): void {
    this.value = Number.NEGATIVE_INFINITY;
    this.index = -1;
    this.second = Number.NEGATIVE_INFINITY;
    this.other = Number.NaN;
  }

  add(value: number, index: number, other: number): void {
    if (value > this.value) {
      this.second = this.value;
      this.value = value;
      this.index = index;
      this.other = other;
    } else if (value > this.second) {
      this.second = value;
    }
  }
}

/** The centred size of a logit error: RMS over the vocabulary after its mean is taken off. */
class CentredError {
  private first = Number.NaN;
  private count = 0;
  private sum = 0;
  private squares = 0;

  reset(): void {
    this.count = 0;
    this.sum = 0;
    this.squares = 0;
  }

  add(x: Float64Array, y: Float64Array, start: number, length: number): void {
    for (let i = start; i < start + length; i += 1) {
      const error = (y[i] as number) - (x[i] as number);
      if (!Number.isFinite(error)) continue;
      // Taken off the first error, a common offset costs no digits.
      if (this.count === 0) this.first = error;
      const shifted = error - this.first;
      this.count += 1;
      this.sum += shifted;
      this.squares += shifted * shifted;
    }
  }

  get sigma(): number {
    const mean = this.sum / this.count;
    return Math.sqrt(Math.max(0, this.squares / this.count - mean * mean));
  }
}

/**
 * Gathers {@link LogitsQuality} over the rows of `logits`.
 *
 * Row t of a sample predicts token t + 1; the row after the last token has no
 * true token and counts in KL and agreement, not in perplexity. Everything is
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
  private readonly candidateError = new CentredError();
  private readonly floorErrors: readonly CentredError[];
  private readonly best = { reference: new Best(), candidate: new Best() };
  private readonly top = { reference: new TopK(), candidate: new TopK() };
  private readonly truth = { id: -1, reference: Number.NaN, candidate: Number.NaN };

  private readonly nll = { reference: new SampleSums(), candidate: new SampleSums() };
  private readonly deltaNll = new SampleSums();
  private readonly kl = new SampleSums();
  private readonly klValues = new Distribution();
  private klLogSum = 0;
  private klMax = Number.NEGATIVE_INFINITY;
  private klMaxAt: TokenAt | null = null;
  private readonly floorKlLogSum: number[];
  private readonly floorKlRows: number[];
  private positions = 0;
  private agreed = 0;
  private strict = 0;
  private nearTies = 0;
  private realFlips = 0;
  private expectedFlips = 0;
  private overlap5 = 0;
  private overlap10 = 0;
  private smallestVocabulary = Number.POSITIVE_INFINITY;
  /** Δp + 1, which is never negative. */
  private readonly deltaPs = new Distribution();
  private deltaPSquares = 0;
  private deltaPCount = 0;
  private readonly lastRows = new Map<number, boolean>();
  private floorRows = 0;

  /**
   * @param floorScales one for each floor.
   * @param tokens the ids of the reference; without them nothing that needs
   *   the true token is measured.
   */
  constructor(reference: Dump, tokens: TokenTable, floorScales: readonly number[]) {
    this.reference = reference;
    this.tokens = tokens;
    this.floorScales = floorScales;
    this.floorSoftmax = floorScales.map(() => new SoftmaxPair());
    this.floorErrors = floorScales.map(() => new CentredError());
    this.floorKlLogSum = floorScales.map(() => 0);
    this.floorKlRows = floorScales.map(() => 0);
  }

  startPair(pair: Pair, floors: readonly number[]): void {
    this.pair = pair;
    this.floorAt = floors;
    this.rows = pair.reference.shape[0] ?? 1;
    this.vocabulary = this.rows === 0 ? 0 : pair.reference.elements / this.rows;
    this.ids = new Float64Array(0);
    this.idsFrom = 0;
    this.smallestVocabulary = Math.min(this.smallestVocabulary, this.vocabulary);
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
    this.candidateError.add(x, y, start, length);
    for (const [position, f] of (floors as readonly Float64Array[]).entries()) {
      const floor = this.floorAt[position] ?? -1;
      this.floorSoftmax[floor]?.add(x, f, start, length);
      this.floorErrors[floor]?.add(x, f, start, length);
    }
    const { best, top } = this;
    for (let i = start; i < start + length; i += 1) {
      const a = x[i] as number;
      const b = y[i] as number;
      const index = column + i - start;
      if (!(a <= best.reference.second)) best.reference.add(a, index, b);
      if (!(b <= best.candidate.second)) best.candidate.add(b, index, a);
      if (!(a <= top.reference.threshold)) top.reference.add(a, index);
      if (!(b <= top.candidate.threshold)) top.candidate.add(b, index);
    }
  }

  endRow(row: number): void {
    const { pair } = this;
    if (pair === null) return;
    const at: TokenAt = { sample: pair.sample, step: pair.step, token: row };
    this.endPrediction();
    this.endDivergence(at);
    this.endAgreement(pair, row);
    this.softmax.reset();
    this.candidateError.reset();
    for (const floor of this.floorAt) {
      this.floorSoftmax[floor]?.reset();
      this.floorErrors[floor]?.reset();
    }
    for (const side of ["reference", "candidate"] as const) {
      this.best[side].reset();
      this.top[side].reset();
      this.truth[side] = Number.NaN;
    }
  }

  endSample(): void {
    for (const sums of [this.nll.reference, this.nll.candidate, this.deltaNll, this.kl]) {
      sums.endSample();
    }
  }

  /** The token after row `row`; -1 where there is none or no ids are known. */
  private trueToken(row: number): number {
    const { pair } = this;
    if (pair === null || row + 1 >= this.rows) return -1;
    const entry = this.tokens.get(tokenKey(pair.sample, pair.step));
    if (entry?.elements !== this.rows) return -1;
    const wanted = row + 1;
    if (wanted < this.idsFrom || wanted >= this.idsFrom + this.ids.length) {
      this.idsFrom = wanted;
      const count = Math.min(IDS_AT_ONCE, entry.elements - wanted);
      this.ids = readIds(this.reference, entry, wanted, count);
    }
    const id = this.ids[wanted - this.idsFrom] ?? -1;
    // A negative id is beyond the vocabulary like one that is too large: no
    // logit belongs to it, and so no perplexity comes of it.
    return id < 0 ? Number.MAX_SAFE_INTEGER : id;
  }

  private endPrediction(): void {
    const { id, reference, candidate } = this.truth;
    if (id < 0) return;
    // An id beyond the vocabulary leaves NaN here, and so no perplexity.
    const logP = reference - this.softmax.lseReference;
    const logQ = candidate - this.softmax.lseCandidate;
    this.nll.reference.add(-logP);
    this.nll.candidate.add(-logQ);
    this.deltaNll.add(logP - logQ);
    const deltaP = Math.exp(logQ) - Math.exp(logP);
    this.deltaPCount += 1;
    this.deltaPSquares += deltaP * deltaP;
    if (!Number.isNaN(deltaP)) this.deltaPs.add(deltaP + 1);
  }

  private endDivergence(at: TokenAt): void {
    const { kl } = this.softmax;
    this.kl.add(kl);
    this.klValues.add(Number.isNaN(kl) ? Number.POSITIVE_INFINITY : Math.max(0, kl));
    this.klLogSum += Math.log(Math.max(kl, LEAST_KL));
    if (kl > this.klMax || Number.isNaN(kl)) {
      this.klMax = kl;
      this.klMaxAt = at;
    }
    for (const floor of this.floorAt) {
      // KL grows with the square of the error.
      const scale = (this.floorScales[floor] ?? 1) ** 2;
      const floorKl = scale * (this.floorSoftmax[floor]?.kl ?? Number.NaN);
      // A row that gives no figure is a row that the floor lacks.
      if (!Number.isFinite(floorKl)) continue;
      this.floorKlLogSum[floor] =
        (this.floorKlLogSum[floor] ?? 0) + Math.log(Math.max(floorKl, LEAST_KL));
      this.floorKlRows[floor] = (this.floorKlRows[floor] ?? 0) + 1;
    }
  }

  private endAgreement(pair: Pair, row: number): void {
    const { reference, candidate } = this.best;
    // Logits of few bits tie; whichever of the tied a side picks is no disagreement.
    const agrees = candidate.value === reference.other || reference.value === candidate.other;
    this.positions += 1;
    if (agrees) this.agreed += 1;
    if (reference.index === candidate.index && reference.index >= 0) this.strict += 1;
    this.overlap5 += this.top.reference.overlap(this.top.candidate, 5);
    this.overlap10 += this.top.reference.overlap(this.top.candidate, 10);
    let sigma: number | null = null;
    for (const floor of this.floorAt) {
      const ofFloor =
        (this.floorScales[floor] ?? 1) * (this.floorErrors[floor]?.sigma ?? Number.NaN);
      if (Number.isFinite(ofFloor)) sigma = Math.max(sigma ?? 0, ofFloor);
    }
    if (sigma !== null) this.floorRows += 1;
    sigma ??= this.candidateError.sigma;
    const z = standardMargin(reference.value - reference.second, sigma);
    this.expectedFlips += normalCdf(-z);
    if (!agrees) {
      if (z < NEAR_TIE) this.nearTies += 1;
      else this.realFlips += 1;
    }
    if (row === this.rows - 1 && pair.step === 0) this.lastRows.set(pair.sample, agrees);
  }

  /** Whether the greedy token after each prompt agrees. */
  get lastRowAgreement(): LastRowAgreement {
    return this.lastRows;
  }

  /** The figures; null where not a row was seen. */
  quality(): LogitsQuality {
    const [perplexity, perplexitySeed] = this.perplexity();
    const flips: FlipsResult = {
      count: this.positions - this.agreed,
      expected: this.expectedFlips,
      real: this.realFlips,
      // One row without the floor would mix two meanings of σ.
      sigmaFrom:
        this.floorRows === this.positions && this.floorScales.length > 0 ? "floor" : "candidate",
    };
    const top1: Top1Result = {
      share: this.agreed / this.positions,
      agreed: this.agreed,
      positions: this.positions,
      strict: this.strict / this.positions,
      ci95: wilsonInterval(this.agreed, this.positions),
      nearTies: this.nearTies,
    };
    const any = this.positions > 0;
    return {
      perplexity,
      perplexitySeed,
      kl: this.klResult(),
      top1Agreement: any ? top1 : null,
      topKOverlap: any
        ? {
            k5: this.smallestVocabulary >= 5 ? this.overlap5 / this.positions : null,
            k10: this.smallestVocabulary >= 10 ? this.overlap10 / this.positions : null,
          }
        : null,
      flips: any ? flips : null,
      deltaP: this.deltaP(),
    };
  }

  private perplexity(): readonly [PerplexityResult | null, Quality["perplexitySeed"]] {
    const reference = this.nll.reference.total;
    const candidate = this.nll.candidate.total;
    const delta = clusteredMean(this.deltaNll.clusters);
    if (delta === null) return [null, null];
    const [ofReference, ofCandidate] = [
      Math.exp(reference.sum / reference.count),
      Math.exp(candidate.sum / candidate.count),
    ];
    const seed = {
      reference: seedPerplexity(this.nll.reference.clusters),
      candidate: seedPerplexity(this.nll.candidate.clusters),
    };
    return [
      {
        reference: ofReference,
        candidate: ofCandidate,
        relativeIncrease: Math.expm1(delta.mean),
        ci95: delta.ci95 === null ? null : [Math.expm1(delta.ci95[0]), Math.expm1(delta.ci95[1])],
        tokens: reference.count,
        samples: this.deltaNll.clusters.filter(({ count }) => count > 0).length,
        deltaNll: delta,
      },
      { ...seed, relativeIncrease: seed.candidate / seed.reference - 1 },
    ];
  }

  private klResult(): KlResult | null {
    const mean = clusteredMean(this.kl.clusters);
    if (mean === null) return null;
    const gm = Math.exp(this.klLogSum / this.positions);
    // Only a floor that has every row is measured on the same tokens.
    const floorGms = this.floorKlLogSum.flatMap((sum, floor) =>
      this.floorKlRows[floor] === this.positions ? [Math.exp(sum / this.positions)] : [],
    );
    return {
      ...mean,
      gm,
      median: this.klValues.quantile(0.5),
      p95: this.klValues.quantile(0.95),
      p99: this.klValues.quantile(0.99),
      p999: this.klValues.quantile(0.999),
      max: this.klMax,
      maxAt: this.klMaxAt,
      positions: this.positions,
      floorRatio: floorGms.length === 0 ? null : gm / Math.max(...floorGms),
    };
  }

  private deltaP(): DeltaPResult | null {
    const count = this.deltaPCount;
    if (count === 0) return null;
    const quantile = (q: number): number => this.deltaPs.quantile(q) - 1;
    return {
      rms: Math.sqrt(this.deltaPSquares / count),
      p1: quantile(0.01),
      p5: quantile(0.05),
      p50: quantile(0.5),
      p95: quantile(0.95),
      p99: quantile(0.99),
      min: quantile(0),
      max: quantile(1),
    };
  }
}

/** Perplexity of the mean loss of each sample weighted by its number of tokens T (not of predictions T−1). */
function seedPerplexity(clusters: readonly ClusterSum[]): number {
  let loss = 0;
  let weight = 0;
  for (const { count, sum } of clusters) {
    if (count === 0) continue;
    loss += (sum / count) * (count + 1);
    weight += count + 1;
  }
  return Math.exp(loss / weight);
}

/** margin / (√2 σ); 0/0 is 0 (a tie), margin/0 is +∞. */
function standardMargin(margin: number, sigma: number): number {
  if (Number.isNaN(margin) || margin === 0) return 0;
  return margin / (Math.SQRT2 * sigma);
}
