/**
 * Means, shares and their uncertainty.
 */

import jstat from "jstat";
import type { ClusteredMean } from "./result.ts";

const { jStat } = jstat;

/** Below this many clusters no interval is given: a t interval on fewer is mostly the tail of t itself. */
export const MIN_CLUSTERS_FOR_INTERVAL = 6;

/** Two-sided 95 % point of the normal distribution. */
const Z95 = 1.959963984540054;

/** Φ(x), the standard normal distribution function; Φ(−∞) = 0. */
export function normalCdf(x: number): number {
  if (x === Number.NEGATIVE_INFINITY) return 0;
  if (x === Number.POSITIVE_INFINITY) return 1;
  return jStat.normal.cdf(x, 0, 1);
}

/** What is known of one cluster (sample): the number of values and their sum. */
export interface ClusterSum {
  readonly count: number;
  readonly sum: number;
}

/**
 * Mean over all values with the cluster-robust standard error
 * SE² = G/(G−1) · Σ_c (Σ_{i∈c}(d_i − d̄))² / n² (CR1 of a mean) and the 95 %
 * interval by Student's t with G−1 degrees of freedom.
 *
 * Tokens of one text are correlated: an error that takes them for independent
 * is 0.7 to 1.6 times the right one, so every interval here clusters by sample.
 *
 * @returns null where there is no value.
 */
export function clusteredMean(clusters: readonly ClusterSum[]): ClusteredMean | null {
  const used = clusters.filter((cluster) => cluster.count > 0);
  const n = used.reduce((total, cluster) => total + cluster.count, 0);
  if (n === 0) return null;
  const mean = used.reduce((total, cluster) => total + cluster.sum, 0) / n;
  const groups = used.length;
  if (groups < 2) return { mean, se: null, ci95: null };
  const squares = used.reduce(
    (total, cluster) => total + (cluster.sum - cluster.count * mean) ** 2,
    0,
  );
  const se = Math.sqrt((groups / (groups - 1)) * squares) / n;
  if (groups < MIN_CLUSTERS_FOR_INTERVAL) return { mean, se, ci95: null };
  const half = jStat.studentt.inv(0.975, groups - 1) * se;
  return { mean, se, ci95: [mean - half, mean + half] };
}

/** Wilson's 95 % score interval of a share; [0, 1] for no trials. */
export function wilsonInterval(successes: number, trials: number): readonly [number, number] {
  if (trials === 0) return [0, 1];
  const share = successes / trials;
  const z2 = Z95 * Z95;
  const centre = (share + z2 / (2 * trials)) / (1 + z2 / trials);
  const half =
    (Z95 / (1 + z2 / trials)) *
    Math.sqrt((share * (1 - share)) / trials + z2 / (4 * trials * trials));
  return [
    successes === 0 ? 0 : Math.max(0, centre - half),
    successes === trials ? 1 : Math.min(1, centre + half),
  ];
}
