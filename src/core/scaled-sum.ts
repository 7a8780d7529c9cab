/**
 * Sums that neither lose digits nor leave the range of float64.
 */

/**
 * A compensated sum (Neumaier 1974) whose value is kept as `sum · 2^exponent`,
 * so that squares of float64 values, which may pass 1e308 or vanish below
 * 1e-308, can still be added, divided and rooted.
 *
 * Source: A. Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation
 * endlicher Summen, ZAMM 54 (1974); the scaling follows LAPACK's dnrm2.
 */
export class ScaledSum {
  private sum = 0;
  private lost = 0;
  private exponent = 0;

  /** Adds `value · 2^exponent`; `value` finite, `exponent` an integer. */
  add(value: number, exponent = 0): void {
    if (value === 0) return;
    if (exponent !== this.exponent) {
      if (this.sum === 0 && this.lost === 0) {
        this.exponent = exponent;
      } else if (exponent > this.exponent) {
        const shift = powerOfTwo(this.exponent - exponent);
        this.sum *= shift;
        this.lost *= shift;
        this.exponent = exponent;
      } else {
        value *= powerOfTwo(exponent - this.exponent);
      }
    }
    const total = this.sum + value;
    this.lost +=
      Math.abs(this.sum) >= Math.abs(value) ? this.sum - total + value : value - total + this.sum;
    this.sum = total;
  }

  /** Adds another sum. */
  addSum(other: ScaledSum): void {
    this.add(other.sum, other.exponent);
    this.add(other.lost, other.exponent);
  }

  /** What it is kept as: (sum + lost) · 2^exponent. */
  get parts(): { readonly sum: number; readonly lost: number; readonly exponent: number } {
    return { sum: this.sum, lost: this.lost, exponent: this.exponent };
  }

  reset(): void {
    this.sum = 0;
    this.lost = 0;
    this.exponent = 0;
  }

  get isZero(): boolean {
    return this.sum + this.lost === 0;
  }

  /** The sum as a float64: Infinity or 0 where it leaves the range. */
  value(): number {
    return scaleByPowerOfTwo(this.sum + this.lost, this.exponent);
  }

  /** The sum divided by `count`, in range wherever the quotient is. */
  mean(count: number): number {
    return scaleByPowerOfTwo((this.sum + this.lost) / count, this.exponent);
  }

  /** √(sum / count) for a sum of squares. */
  rootMean(count: number): number {
    // An odd exponent would leave a factor √2 behind; sums of products of
    // differently scaled sides can have one.
    const odd = this.exponent & 1;
    return scaleByPowerOfTwo(
      Math.sqrt(((this.sum + this.lost) / count) * (odd ? 2 : 1)),
      (this.exponent - odd) / 2,
    );
  }

  /** This sum over `other`; NaN for 0/0, infinite for x/0. */
  dividedBy(other: ScaledSum): number {
    return scaleByPowerOfTwo(
      (this.sum + this.lost) / (other.sum + other.lost),
      this.exponent - other.exponent,
    );
  }

  /** √(this / other) for sums of squares, in range wherever the root is. */
  rootRatio(other: ScaledSum): number {
    const exponent = this.exponent - other.exponent;
    const odd = exponent & 1;
    const quotient = (this.sum + this.lost) / (other.sum + other.lost);
    return scaleByPowerOfTwo(Math.sqrt(quotient * (odd ? 2 : 1)), (exponent - odd) / 2);
  }

  /** this / √(a · b), the form of a cosine, in range wherever the quotient is. */
  overRootProduct(a: ScaledSum, b: ScaledSum): number {
    const exponent = 2 * this.exponent - a.exponent - b.exponent;
    const odd = exponent & 1;
    const quotient =
      (this.sum + this.lost) / (Math.sqrt(a.sum + a.lost) * Math.sqrt(b.sum + b.lost));
    return scaleByPowerOfTwo(quotient * (odd ? Math.SQRT2 : 1), (exponent - odd) / 2);
  }
}

/** 2^exponent; 0 below the smallest subnormal. */
function powerOfTwo(exponent: number): number {
  return exponent < -1074 ? 0 : 2 ** exponent;
}

/** value · 2^exponent in two steps, because 2^exponent alone may overflow or vanish. */
export function scaleByPowerOfTwo(value: number, exponent: number): number {
  if (exponent === 0 || value === 0) return value;
  const clamped = Math.max(-4200, Math.min(4200, exponent));
  let result = value;
  let rest = clamped;
  while (rest !== 0) {
    // Steps of at most 2^±1000; the last one is the only one that can round.
    const step = Math.max(-1000, Math.min(1000, rest));
    result *= 2 ** step;
    rest -= step;
  }
  return result;
}
