/** Whether the two sides would say the same token next. */

import type { FlipsResult, Quality, Top1Result } from "../core/result.ts";
import { normalCdf, wilsonInterval } from "../core/statistics.ts";
import { TopK } from "./softmax-pair.ts";

/** A flip whose margin is below so many σ is a near tie; 99 % of benign bf16 flips are (138 flips of SmolLM2-135M). */
const NEAR_TIE = 4;

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

/** The most likely tokens of each position on both sides. */
export class Agreement {
  private readonly best = { reference: new Best(), candidate: new Best() };
  private readonly top = { reference: new TopK(), candidate: new TopK() };
  private positions = 0;
  private agreed = 0;
  private strict = 0;
  private nearTies = 0;
  private realFlips = 0;
  private expectedFlips = 0;
  private floorRows = 0;
  private overlap5 = 0;
  private overlap10 = 0;
  private smallestVocabulary = Number.POSITIVE_INFINITY;

  /** Adds `length` logits from `start` on, of the tokens from `column` on. */
  add(x: Float64Array, y: Float64Array, start: number, length: number, column: number): void {
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

  /**
   * Ends a position.
   *
   * @param floorSigma the floor's centred logit error, null where no floor has this position.
   * @param candidateSigma the candidate's own.
   * @returns whether the two sides agree.
   */
  endRow(vocabulary: number, floorSigma: number | null, candidateSigma: number): boolean {
    const { reference, candidate } = this.best;
    // Logits of few bits tie; whichever of the tied a side picks is no disagreement.
    const agrees = candidate.value === reference.other || reference.value === candidate.other;
    this.positions += 1;
    if (agrees) this.agreed += 1;
    if (reference.index === candidate.index && reference.index >= 0) this.strict += 1;
    this.smallestVocabulary = Math.min(this.smallestVocabulary, vocabulary);
    this.overlap5 += this.top.reference.overlap(this.top.candidate, 5);
    this.overlap10 += this.top.reference.overlap(this.top.candidate, 10);
    if (floorSigma !== null) this.floorRows += 1;
    const z = standardMargin(reference.value - reference.second, floorSigma ?? candidateSigma);
    this.expectedFlips += normalCdf(-z);
    if (!agrees) {
      if (z < NEAR_TIE) this.nearTies += 1;
      else this.realFlips += 1;
    }
    for (const side of ["reference", "candidate"] as const) {
      this.best[side].reset();
      this.top[side].reset();
    }
    return agrees;
  }

  /** All null where there was no position. */
  result(): Pick<Quality, "top1Agreement" | "topKOverlap" | "flips"> {
    const { positions, agreed } = this;
    if (positions === 0) return { top1Agreement: null, topKOverlap: null, flips: null };
    const top1Agreement: Top1Result = {
      share: agreed / positions,
      agreed,
      positions,
      strict: this.strict / positions,
      ci95: wilsonInterval(agreed, positions),
      nearTies: this.nearTies,
    };
    const flips: FlipsResult = {
      count: positions - agreed,
      expected: this.expectedFlips,
      real: this.realFlips,
      // One row without the floor would mix two meanings of σ.
      sigmaFrom: this.floorRows === positions ? "floor" : "candidate",
    };
    return {
      top1Agreement,
      topKOverlap: {
        k5: this.smallestVocabulary >= 5 ? this.overlap5 / positions : null,
        k10: this.smallestVocabulary >= 10 ? this.overlap10 / positions : null,
      },
      flips,
    };
  }
}

/** margin / (√2 σ); 0/0 is 0 (a tie), margin/0 is +∞. */
function standardMargin(margin: number, sigma: number): number {
  if (Number.isNaN(margin) || margin === 0) return 0;
  return margin / (Math.SQRT2 * sigma);
}
