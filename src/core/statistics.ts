/**
 * Means, shares and their uncertainty.
 */

import jstat from "jstat";
import type { ClusteredMean } from "./quality.ts";

const { jStat } = jstat;

/** Below this many clusters no interval is given: a t interval on fewer is mostly the tail of t itself. */
export const MIN_CLUSTERS_FOR_INTERVAL = 6;

/** Two-sided 95 % point of the normal distribution. */
export const Z95 = 1.959963984540054;

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
  if (groups < 2) return { mean, se: null, ci95: null, clusters: groups };
  const squares = used.reduce(
    (total, cluster) => total + (cluster.sum - cluster.count * mean) ** 2,
    0,
  );
  const se = Math.sqrt((groups / (groups - 1)) * squares) / n;
  if (groups < MIN_CLUSTERS_FOR_INTERVAL) return { mean, se, ci95: null, clusters: groups };
  const half = studentT(groups - 1) * se;
  return { mean, se, ci95: [mean - half, mean + half], clusters: groups };
}

/** From here on, t is the normal distribution to six digits. */
const MANY_DEGREES = 1e6;

/** Two-sided point of Student's t, of 95 % unless another confidence is asked for. */
export function studentT(degrees: number, confidence = 0.95): number {
  return jStat.studentt.inv((1 + confidence) / 2, Math.min(degrees, MANY_DEGREES));
}

/** Two-sided point of the normal distribution. */
export function normalPoint(confidence: number): number {
  return jStat.normal.inv((1 + confidence) / 2, 0, 1);
}

/**
 * How many times as much data leaves `limit` outside the 95 % interval of a
 * clustered mean, if what comes is like what is there: k copies of G samples
 * have the standard error se · √((G−1) / (kG−1)), and kG−1 degrees of freedom.
 *
 * @returns ∞ where the mean is the limit itself; NaN without a standard error.
 */
export function timesToDecideMean({ mean, se, clusters }: ClusteredMean, limit: number): number {
  const distance = Math.abs(limit - mean);
  if (se === null || Number.isNaN(distance)) return Number.NaN;
  if (distance === 0) return Number.POSITIVE_INFINITY;
  // t falls with more samples, so that each step comes from above.
  let times = 1;
  for (let step = 0; step < DECIDE_STEPS; step += 1) {
    const t = studentT(times * clusters - 1);
    times = Math.max(1, ((clusters - 1) * ((t * se) / distance) ** 2 + 1) / clusters);
  }
  return times;
}

/** Steps of the iteration above; it gains more than a digit a step. */
const DECIDE_STEPS = 20;

/**
 * How many trials leave `limit` outside Wilson's 95 % interval of a share, if
 * the share stays as it is: the interval is made of the limits L with
 * (p − L)² ≤ z²·L(1 − L)/n.
 *
 * @returns ∞ where the share is the limit itself.
 */
export function trialsToDecideShare(share: number, limit: number): number {
  return share === limit
    ? Number.POSITIVE_INFINITY
    : (Z95 * Z95 * limit * (1 - limit)) / (share - limit) ** 2;
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
