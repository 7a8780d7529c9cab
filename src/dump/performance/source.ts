/** What a file says of the performance of one side, before anything is computed from it. */

import type {
  PerformanceMetricName,
  PerformancePoint,
  PerformanceSide,
  PerformanceSpread,
} from "../../core/performance.ts";

/** One metric of one point: a scalar, its single values (NaN among them), or their statistics alone. */
export type Measured =
  | { readonly kind: "scalar"; readonly value: number }
  | { readonly kind: "values"; readonly values: Float64Array }
  | { readonly kind: "statistics"; readonly spread: PerformanceSpread };

export type Measurements = ReadonlyMap<PerformanceMetricName, Measured>;

/** A point of a sweep, of which the kind names the table. */
export interface SweepSource {
  readonly kind: string;
  readonly point: PerformancePoint;
  readonly measured: Measurements;
}

export interface PerformanceSource {
  readonly side: PerformanceSide;
  /** Of the main point, and of the whole run. */
  readonly measured: Measurements;
  readonly sweep: readonly SweepSource[];
  /** Why a metric is not there, in the file's own words. */
  readonly absent: ReadonlyMap<PerformanceMetricName, string>;
}
