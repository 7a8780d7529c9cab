/** Whether the two sides would say the same token next. */

import type { FlipsResult, Quality, Top1Result } from "../core/quality.ts";
import { normalCdf, wilsonInterval } from "../core/statistics.ts";

/** A flip whose margin is below so many σ is a near tie; 99 % of benign bf16 flips are (138 flips of SmolLM2-135M). */
export const NEAR_TIE = 4;

/** What one position says of its most likely tokens. */
export interface Position {
  readonly vocabulary: number;
  /** Whether one side's best token is among the tied best of the other. */
  readonly agrees: boolean;
  /** Whether both sides' best is the same token. */
  readonly strict: boolean;
  /** The reference's largest logit less its second largest. */
  readonly margin: number;
  /** Shares of the 5 and the 10 best tokens that both sides have. */
  readonly overlap5: number;
  readonly overlap10: number;
  /** The floor's centred logit error, null where no floor has this position; and the candidate's own. */
  readonly floorSigma: number | null;
  readonly candidateSigma: number;
}

/** The most likely tokens of all positions on both sides. */
export class Agreement {
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

  add(position: Position): void {
    const { agrees, floorSigma } = position;
    this.positions += 1;
    if (agrees) this.agreed += 1;
    if (position.strict) this.strict += 1;
    this.smallestVocabulary = Math.min(this.smallestVocabulary, position.vocabulary);
    this.overlap5 += position.overlap5;
    this.overlap10 += position.overlap10;
    if (floorSigma !== null) this.floorRows += 1;
    const z = standardMargin(position.margin, floorSigma ?? position.candidateSigma);
    this.expectedFlips += normalCdf(-z);
    if (agrees) return;
    if (z < NEAR_TIE) this.nearTies += 1;
    else this.realFlips += 1;
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
export function standardMargin(margin: number, sigma: number): number {
  if (Number.isNaN(margin) || margin === 0) return 0;
  return margin / (Math.SQRT2 * sigma);
}
