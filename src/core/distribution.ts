/**
 * Quantiles of a stream of non-negative numbers in bounded memory.
 */

/**
 * Up to this many values are kept as they are (8 MiB) and their quantiles are
 * exact; beyond it a histogram takes over. A million tokens is far more than
 * any comparison of a language model holds, so the histogram serves flat
 * tensors whose rows are single numbers.
 */
export const EXACT_VALUES = 2 ** 20;

/** Bins a power of two: a quantile from the histogram is within 2^(1/128) − 1 = 0.55 % of a value that was added. */
const BINS_PER_OCTAVE = 128;
const LOWEST_OCTAVE = -1075;
const OCTAVES = 2 * 1075;

/**
 * Values ≥ 0 (infinity included, NaN not) with their quantiles.
 *
 * Quantiles interpolate linearly between order statistics, as NumPy's default
 * does.
 */
export class Distribution {
  private values = new Float64Array(256);
  private kept = 0;
  private sorted = true;
  private histogram: Histogram | null = null;

  get count(): number {
    return this.histogram?.count ?? this.kept;
  }

  add(value: number): void {
    if (this.histogram !== null) {
      this.histogram.add(value);
      return;
    }
    if (this.kept === EXACT_VALUES) {
      this.histogram = new Histogram();
      for (const kept of this.values) this.histogram.add(kept);
      this.values = new Float64Array(0);
      this.histogram.add(value);
      return;
    }
    if (this.kept === this.values.length) {
      const larger = new Float64Array(this.values.length * 2);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[this.kept++] = value;
    this.sorted = false;
  }

  /** The `q`-quantile, 0 ≤ q ≤ 1; NaN where nothing was added. */
  quantile(q: number): number {
    if (this.histogram !== null) return this.histogram.quantile(q);
    if (this.kept === 0) return Number.NaN;
    if (!this.sorted) {
      this.values.subarray(0, this.kept).sort();
      this.sorted = true;
    }
    const position = q * (this.kept - 1);
    const below = Math.floor(position);
    const low = this.values[below] ?? Number.NaN;
    const high = this.values[Math.min(below + 1, this.kept - 1)] ?? Number.NaN;
    const share = position - below;
    // ∞ − ∞ and ∞ · 0 are NaN.
    return share === 0 || low === high ? low : low + (high - low) * share;
  }
}

/** The `q`-quantile of `values` (≥ 0, no NaN), 0 ≤ q ≤ 1; NaN where there is none. */
export function quantileOf(values: Iterable<number>, q: number): number {
  const distribution = new Distribution();
  for (const value of values) distribution.add(value);
  return distribution.quantile(q);
}

/** Counts by logarithm, over the whole range of float64. */
class Histogram {
  count = 0;
  private zeros = 0;
  private infinite = 0;
  private readonly bins = new Float64Array(OCTAVES * BINS_PER_OCTAVE);

  add(value: number): void {
    this.count += 1;
    if (value === 0) this.zeros += 1;
    else if (value === Number.POSITIVE_INFINITY) this.infinite += 1;
    else {
      const bin = Math.floor((Math.log2(value) - LOWEST_OCTAVE) * BINS_PER_OCTAVE);
      this.bins[bin] = (this.bins[bin] ?? 0) + 1;
    }
  }

  quantile(q: number): number {
    let rank = q * (this.count - 1) - this.zeros;
    if (rank < 0) return 0;
    for (let bin = 0; bin < this.bins.length; bin += 1) {
      rank -= this.bins[bin] ?? 0;
      if (rank < 0) return 2 ** ((bin + 0.5) / BINS_PER_OCTAVE + LOWEST_OCTAVE);
    }
    return Number.POSITIVE_INFINITY;
  }
}
