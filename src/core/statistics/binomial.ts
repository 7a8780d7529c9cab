/**
 * Exact binomial tests, to the last digits also for millions of trials: the
 * probabilities by Loader's saddle-point form («Fast and Accurate Computation of
 * Binomial Probabilities», 2000), which cancels nothing, where differences of
 * log-factorials lose a digit with every digit of n.
 */

/** Stirling's error for n below 16, where its series is not exact yet. */
const STIRLING_ERRORS: readonly number[] = Array.from({ length: 16 }, (_, n) => {
  let factorial = 1;
  for (let i = 2; i <= n; i += 1) factorial *= i;
  return n === 0
    ? 0
    : Math.log(factorial) - (0.5 * Math.log(2 * Math.PI * n) + n * Math.log(n) - n);
});

/** ln n! less Stirling's approximation of it. */
function stirlingError(n: number): number {
  const small = STIRLING_ERRORS[n];
  if (small !== undefined) return small;
  const n2 = n * n;
  return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / (1188 * n2)) / n2) / n2) / n2) / n;
}

/** x·ln(x/m) + m − x, without loss where x is near m. */
function deviance(x: number, m: number): number {
  if (Math.abs(x - m) >= 0.1 * (x + m)) return x * Math.log(x / m) + m - x;
  const v = (x - m) / (x + m);
  let sum = (x - m) * v;
  let term = 2 * x * v;
  for (let j = 1; ; j += 1) {
    term *= v * v;
    const next = sum + term / (2 * j + 1);
    if (next === sum) return sum;
    sum = next;
  }
}

/** Probability of exactly `k` successes in `n` trials of probability `p`, 0 ≤ p ≤ 1. */
function binomialProbability(k: number, n: number, p: number): number {
  if (p === 0) return k === 0 ? 1 : 0;
  if (p === 1) return k === n ? 1 : 0;
  if (k === 0) return Math.exp(n * Math.log1p(-p));
  if (k === n) return Math.exp(n * Math.log(p));
  const exponent =
    stirlingError(n) -
    stirlingError(k) -
    stirlingError(n - k) -
    deviance(k, n * p) -
    deviance(n - k, n * (1 - p));
  return Math.exp(exponent) * Math.sqrt(n / (2 * Math.PI * k * (n - k)));
}

/** Probability of at most `k` successes, for a `k` that is not above the mean: the terms only fall. */
function lowerTail(k: number, n: number, p: number): number {
  let ratio = 1;
  let sum = 1;
  for (let i = k; i > 0; i -= 1) {
    ratio *= (i * (1 - p)) / ((n - i + 1) * p);
    const next = sum + ratio;
    if (next === sum) break;
    sum = next;
  }
  return binomialProbability(k, n, p) * sum;
}

/**
 * McNemar's exact test: the probability of a split at least as uneven as that of
 * `lost` and `gained`, if both were as likely; 1 where nothing flipped.
 */
export function mcnemarExact(lost: number, gained: number): number {
  if (lost === gained) return 1;
  return Math.min(1, 2 * lowerTail(Math.min(lost, gained), lost + gained, 0.5));
}

/** Two counts as likely as each other may differ in their last bits. */
const AS_LIKELY = 1 + 1e-7;

/**
 * The exact two-sided test of `k` successes in `n` trials against the
 * probability `p`: all counts together that are no more likely than `k`.
 */
export function binomialTest(k: number, n: number, p: number): number {
  if (p === 0 || p === 1) return k === n * p ? 1 : 0;
  const mean = n * p;
  if (k === mean) return 1;
  if (k > mean) return binomialTest(n - k, n, 1 - p);
  const most = binomialProbability(k, n, p) * AS_LIKELY;
  // The first count above the mean that is no more likely; from there on they fall.
  let low = Math.ceil(mean);
  let high = n + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (binomialProbability(middle, n, p) <= most) high = middle;
    else low = middle + 1;
  }
  const upper = low > n ? 0 : lowerTail(n - low, n, 1 - p);
  return Math.min(1, lowerTail(k, n, p) + upper);
}
