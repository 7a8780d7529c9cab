/**
 * pass@k of one item: the probability that of `k` of its `runs` runs, drawn
 * without replacement, at least one is right, 1 − C(n − c, k) / C(n, k) (Chen
 * et al. 2021): unbiased for runs that are draws of one kind.
 *
 * @param k 1 ≤ k ≤ runs
 */
export function passAt(runs: number, correct: number, k: number): number {
  if (runs - correct < k) return 1;
  let none = 1;
  for (let i = runs - correct + 1; i <= runs; i += 1) none *= 1 - k / i;
  return 1 - none;
}
