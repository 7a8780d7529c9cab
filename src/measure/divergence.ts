/** KL divergence over positions, beside that of the floors. */

import { Distribution } from "../core/distribution.ts";
import type { TokenAt } from "../core/places.ts";
import type { KlResult } from "../core/quality.ts";
import { clusteredMean } from "../core/statistics.ts";
import { SampleSums } from "./sample-sums.ts";

/** KL_t is raised to this before its logarithm is averaged: float64 rounding leaves equal rows anywhere below it. */
const LEAST_KL = 1e-12;

/** KL_t of every position, in nats. */
export class Divergence {
  private readonly sums = new SampleSums();
  private readonly values = new Distribution();
  private readonly floorLogSums: number[];
  private readonly floorRows: number[];
  private positions = 0;
  private logSum = 0;
  private max = Number.NEGATIVE_INFINITY;
  private maxAt: TokenAt | null = null;

  constructor(floors: number) {
    this.floorLogSums = Array.from({ length: floors }, () => 0);
    this.floorRows = Array.from({ length: floors }, () => 0);
  }

  /** @param at may change afterwards. */
  add(kl: number, at: TokenAt): void {
    this.positions += 1;
    this.sums.add(kl);
    this.values.add(Number.isNaN(kl) ? Number.POSITIVE_INFINITY : Math.max(0, kl));
    this.logSum += Math.log(Math.max(kl, LEAST_KL));
    if (kl > this.max || Number.isNaN(kl)) {
      this.max = kl;
      this.maxAt = { ...at };
    }
  }

  /** Adds KL_t of a floor at the position added last. One that is no finite number is a row that the floor lacks. */
  addFloor(floor: number, kl: number): void {
    if (!Number.isFinite(kl)) return;
    this.floorLogSums[floor] = (this.floorLogSums[floor] ?? 0) + Math.log(Math.max(kl, LEAST_KL));
    this.floorRows[floor] = (this.floorRows[floor] ?? 0) + 1;
  }

  endSample(): void {
    this.sums.endSample();
  }

  /** Null where there was no position. */
  result(): KlResult | null {
    const mean = clusteredMean(this.sums.clusters);
    if (mean === null) return null;
    const gm = Math.exp(this.logSum / this.positions);
    // Only a floor that has every row is measured on the same tokens.
    const floorGms = this.floorLogSums.flatMap((sum, floor) =>
      this.floorRows[floor] === this.positions ? [Math.exp(sum / this.positions)] : [],
    );
    return {
      ...mean,
      gm,
      median: this.values.quantile(0.5),
      p95: this.values.quantile(0.95),
      p99: this.values.quantile(0.99),
      p999: this.values.quantile(0.999),
      max: this.max,
      maxAt: this.maxAt,
      positions: this.positions,
      floorRatio: floorGms.length === 0 ? null : gm / Math.max(...floorGms),
    };
  }
}
