/** A mean over positions with its clustered interval, and the largest value with its place. */

import type { TokenAt } from "../core/places.ts";
import type { ClusteredMean } from "../core/quality.ts";
import { clusteredMean } from "../core/statistics.ts";
import { SampleSums } from "./sample-sums.ts";

/** Values of positions. A NaN makes mean and largest NaN. */
export class MeanWithLargest {
  private readonly sums = new SampleSums();
  private positions = 0;
  private max = Number.NEGATIVE_INFINITY;
  private maxAt: TokenAt | null = null;

  add(value: number, at: TokenAt): void {
    this.sums.add(value);
    this.positions += 1;
    if (value > this.max || (Number.isNaN(value) && !Number.isNaN(this.max))) {
      this.max = value;
      this.maxAt = at;
    }
  }

  endSample(): void {
    this.sums.endSample();
  }

  /** Null where there was no position. */
  result(): (ClusteredMean & { max: number; maxAt: TokenAt | null; positions: number }) | null {
    const mean = clusteredMean(this.sums.clusters);
    const { max, maxAt, positions } = this;
    return mean === null ? null : { ...mean, max, maxAt, positions };
  }
}
