/** Sums over the tokens of each sample, for means that cluster by sample. */

import type { ClusterSum } from "../core/statistics.ts";

/** A sum over the tokens of each sample. */
export class SampleSums {
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
