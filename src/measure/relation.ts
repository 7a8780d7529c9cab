/**
 * Figures derived from the sums of {@link PairSums}.
 */

import type { PairSums } from "./pair-sums.ts";

/** How two vectors relate; every figure is dimensionless. */
export interface Relation {
  /** ‖d‖ / ‖x‖; 0 where both norms are zero, ∞ where only ‖x‖ is. */
  readonly relL2: number;
  /** ‖y‖ / ‖x‖; 1 where both are zero. */
  readonly normRatio: number;
  /** ⟨x,y⟩ / ⟨x,x⟩; NaN where x is zero. */
  readonly slope: number;
  /** 1 − cos(x, y), in [0, 2]; 0 where both are zero, 1 where one is. */
  readonly cosineDistance: number;
}

/**
 * Beyond this difference of the norms the form with ‖d‖² loses more digits
 * than 1 − ⟨x,y⟩/(‖x‖‖y‖) does.
 */
const NEAR_NORMS = 0.25;

/**
 * Computes {@link Relation}. The distance near equal norms is
 * (‖d‖² − (‖x‖−‖y‖)²) / (2‖x‖‖y‖) with ‖x‖−‖y‖ from ⟨x,d⟩, which keeps the
 * digits that 1 − cosine loses: its error is at most 1e-6 of it, or 1e-15 of
 * ‖d‖²/‖x‖² where the two vectors are parallel to nearly the last digit.
 */
export function relationOf(sums: PairSums): Relation {
  const { xx, yy, xy, dd, xd } = sums;
  if (xx.isZero) {
    const bothZero = yy.isZero;
    return {
      relL2: dd.isZero ? 0 : Number.POSITIVE_INFINITY,
      normRatio: bothZero ? 1 : Number.POSITIVE_INFINITY,
      slope: Number.NaN,
      cosineDistance: bothZero ? 0 : 1,
    };
  }
  const relL2 = dd.rootRatio(xx);
  const normRatio = yy.rootRatio(xx);
  const slope = xy.dividedBy(xx);
  if (yy.isZero) return { relL2, normRatio: 0, slope: 0, cosineDistance: 1 };
  let distance: number;
  if (Math.abs(normRatio - 1) < NEAR_NORMS) {
    const energy = dd.dividedBy(xx);
    // ‖y‖² − ‖x‖² = 2⟨x,d⟩ + ‖d‖², without the cancellation.
    const normDifference = (2 * xd.dividedBy(xx) + energy) / (normRatio + 1);
    distance = (energy - normDifference * normDifference) / (2 * normRatio);
  } else {
    distance = 1 - xy.overRootProduct(xx, yy);
  }
  return { relL2, normRatio, slope, cosineDistance: Math.min(2, Math.max(0, distance)) };
}
