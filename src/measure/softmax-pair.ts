/**
 * What one row of logits says on two sides, in one pass over its values.
 */

/** A logit so far below the largest has no probability that a float64 can hold. */
export const NEGLIGIBLE = 708;

/**
 * Log-sum-exp of reference logits x and candidate logits y over a vocabulary,
 * and KL(P_x ‖ P_y) = Σ p_x·((x − y) − (lse_x − lse_y)), in nats.
 *
 * Values may come in several pieces; the sums are rescaled when a larger value
 * turns up. Logits of −∞ are tokens of probability 0: on both sides they add
 * nothing, on the candidate's alone they make KL infinite, unless the reference's
 * own probability is beyond {@link NEGLIGIBLE}. NaN or +∞ anywhere makes every
 * figure NaN.
 */
export class SoftmaxPair {
  private maxX = Number.NEGATIVE_INFINITY;
  private maxY = Number.NEGATIVE_INFINITY;
  /** Σ exp(x − maxX), Σ exp(y − maxY), Σ exp(x − maxX)·(x − y). */
  private sumX = 0;
  private sumY = 0;
  private weighted = 0;
  /** The largest x where y is −∞. */
  private lost = Number.NEGATIVE_INFINITY;

  reset(): void {
    this.maxX = Number.NEGATIVE_INFINITY;
    this.maxY = Number.NEGATIVE_INFINITY;
    this.sumX = 0;
    this.sumY = 0;
    this.weighted = 0;
    this.lost = Number.NEGATIVE_INFINITY;
  }

  add(x: Float64Array, y: Float64Array, start: number, length: number): void {
    let maxX = this.maxX;
    let maxY = this.maxY;
    for (let i = start; i < start + length; i += 1) {
      const a = x[i] as number;
      const b = y[i] as number;
      if (a > maxX) maxX = a;
      if (b > maxY) maxY = b;
    }
    // Nothing but −∞ so far: any shift will do, and ∞ − ∞ must not be one.
    const shiftX = maxX === Number.NEGATIVE_INFINITY ? 0 : maxX;
    const shiftY = maxY === Number.NEGATIVE_INFINITY ? 0 : maxY;
    const shrinkX = this.maxX === maxX ? 1 : Math.exp(this.maxX - shiftX);
    const shrinkY = this.maxY === maxY ? 1 : Math.exp(this.maxY - shiftY);
    let sumX = this.sumX * shrinkX;
    let sumY = this.sumY * shrinkY;
    let weighted = this.weighted * shrinkX;
    for (let i = start; i < start + length; i += 1) {
      const a = x[i] as number;
      const b = y[i] as number;
      const p = Math.exp(a - shiftX);
      sumX += p;
      sumY += Math.exp(b - shiftY);
      if (b === Number.NEGATIVE_INFINITY) {
        if (a > this.lost) this.lost = a;
      } else if (a !== Number.NEGATIVE_INFINITY) weighted += p * (a - b);
    }
    this.maxX = maxX;
    this.maxY = maxY;
    this.sumX = sumX;
    this.sumY = sumY;
    this.weighted = weighted;
  }

  get lseReference(): number {
    return this.maxX + Math.log(this.sumX);
  }

  get lseCandidate(): number {
    return this.maxY + Math.log(this.sumY);
  }

  /** Not clamped: rounding may leave a KL of equal rows at ±1e-15. */
  get kl(): number {
    if (this.lost - this.maxX > -NEGLIGIBLE) return Number.POSITIVE_INFINITY;
    return this.weighted / this.sumX - (this.lseReference - this.lseCandidate);
  }
}
