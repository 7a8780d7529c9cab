/** The difference of two shares of the same items. */

/**
 * Tango's score interval of the difference (gained − lost) / n of two shares of
 * the same `n` items, of which `lost` are successes of the first only and
 * `gained` of the second only (Statistics in Medicine 17, 1998).
 *
 * It is the one whose coverage holds for few flips and few items, it belongs to
 * the score test that McNemar's is a case of, and without any flip it still has a
 * width, z² / (n + z²): where nothing flipped, something may have. Wald's
 * interval is then a point.
 *
 * @param z two-sided point of the normal distribution, such as 1.96
 * @returns [−1, 1] for no items.
 */
export function tangoInterval(
  lost: number,
  gained: number,
  n: number,
  z: number,
): readonly [number, number] {
  if (n === 0) return [-1, 1];
  // The lower bound is the upper one of the exchanged sides, mirrored.
  return [-upperBound(lost, gained, n, z), upperBound(gained, lost, n, z)];
}

/** More halvings than a float64 between −1 and 1 has bits. */
const HALVINGS = 1100;

/** The largest difference δ whose score is at most z away from what was found. */
function upperBound(gained: number, lost: number, n: number, z: number): number {
  const found = (gained - lost) / n;
  let low = found;
  let high = 1;
  for (let step = 0; step < HALVINGS; step += 1) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) break;
    const distance = n * middle - (gained - lost);
    const lostShare = restrictedShare(gained, lost, n, middle);
    const variance = n * (2 * lostShare + middle * (1 - middle));
    if (distance <= z * Math.sqrt(Math.max(0, variance))) low = middle;
    else high = middle;
  }
  return low;
}

/** The likeliest share of lost items where the difference is δ: the positive root of a quadratic. */
function restrictedShare(gained: number, lost: number, n: number, delta: number): number {
  const a = 2 * n;
  const b = -gained - lost + (2 * n - gained + lost) * delta;
  const c = -lost * delta * (1 - delta);
  const root = Math.sqrt(Math.max(0, b * b - 4 * a * c));
  // Of the two forms of the root, the one that does not cancel.
  if (b <= 0) return (root - b) / (2 * a);
  return root + b === 0 ? 0 : (-2 * c) / (root + b);
}
