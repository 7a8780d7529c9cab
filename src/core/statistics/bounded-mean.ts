/** Means of figures that have a least and a largest value. */

import {
  type ClusterSum,
  clusteredMean,
  MIN_CLUSTERS_FOR_INTERVAL,
  normalPoint,
  studentT,
} from "../statistics.ts";

/** A spread of figures of the order of 1 that rounding alone could have made. */
const ROUNDING = 1e-12;

/**
 * Interval of a mean over clusters (independent units: items, or groups of
 * items) by Student's t with errors clustered, cut to what the figure can be.
 *
 * Where all clusters agree their spread is 0, and t would be certain of what it
 * has seen G times. Then the interval holds whatever a share of z² / (G + z²) of
 * other clusters could make of the mean, which is Wilson's upper bound of a thing
 * never seen: the same as Tango's interval without a flip.
 *
 * @param range least and largest value of the figure
 * @returns null below six clusters, unless they all agree; `range` for none.
 */
export function boundedMeanInterval(
  clusters: readonly ClusterSum[],
  [least, most]: readonly [number, number],
  confidence = 0.95,
): readonly [number, number] | null {
  const found = clusteredMean(clusters);
  if (found === null) return [least, most];
  const { mean, se, clusters: groups } = found;
  if (se === null || se < ROUNDING) {
    const z2 = normalPoint(confidence) ** 2;
    const unseen = z2 / (groups + z2);
    return [mean - unseen * (mean - least), mean + unseen * (most - mean)];
  }
  if (groups < MIN_CLUSTERS_FOR_INTERVAL) return null;
  const half = studentT(groups - 1, confidence) * se;
  return [Math.max(least, mean - half), Math.min(most, mean + half)];
}
