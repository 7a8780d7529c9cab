/** How many elements differ by how many units in the last place. */

import type { UlpHistogram } from "../core/depth.ts";
import type { FloatDType } from "../core/dtype.ts";
import { BEYOND, ULP_BOUNDS, UlpMeter } from "../core/ulp.ts";

export class UlpHistogramMeter {
  private readonly meters = new Map<FloatDType, UlpMeter>();
  private readonly counts = new Float64Array(BEYOND + 1);
  private meter: UlpMeter | null = null;
  private nonFinite = 0;
  private max = -1;

  /** What follows is of a candidate in `dtype`. */
  begin(dtype: FloatDType): void {
    let meter = this.meters.get(dtype);
    if (meter === undefined) {
      meter = new UlpMeter(dtype);
      this.meters.set(dtype, meter);
    }
    this.meter = meter;
  }

  /**
   * Counts a pair.
   *
   * @returns |d| in ULP at `reference`; 0 where both are NaN or the same infinity, infinite where
   *   they differ in kind.
   */
  add(reference: number, candidate: number): number {
    const { meter, counts } = this;
    if (meter === null) throw new RangeError("begin() names the format first");
    if (!Number.isFinite(reference) || !Number.isFinite(candidate)) {
      if (Object.is(reference, candidate)) {
        counts[0] = (counts[0] as number) + 1;
        return 0;
      }
      this.nonFinite += 1;
      return Number.POSITIVE_INFINITY;
    }
    const ulps = Math.abs(candidate - reference) / meter.at(reference);
    if (ulps > this.max) this.max = ulps;
    const bucket = meter.bucket(ulps);
    counts[bucket] = (counts[bucket] as number) + 1;
    return ulps;
  }

  result(): UlpHistogram {
    const { counts, max, nonFinite } = this;
    return {
      buckets: ULP_BOUNDS.map((upTo, i) => ({ upTo, elements: counts[i] as number })),
      beyond: counts[BEYOND] as number,
      nonFinite,
      max: max < 0 ? null : max,
    };
  }
}
