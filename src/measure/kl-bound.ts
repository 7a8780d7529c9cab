/** How small the KL divergence of one position can be, by the best tokens of both sides alone. */

import type { TopList } from "./logits-form.ts";

/** What a number may be, its rounding allowed for. */
interface Range {
  readonly low: number;
  readonly high: number;
}

/** Rounding of sums of probabilities in float64. */
const SUM_ROUNDING = 1e-14;

/**
 * A lower bound of KL(P ‖ Q) in nats, from the best tokens A of P and B of Q.
 *
 * By the log-sum inequality (Cover and Thomas, Elements of Information Theory,
 * theorem 2.7.1), joining tokens never raises Σ p ln(p/q). So
 * KL ≥ Σ_{A∩B} p ln(p/q) + [the other tokens in one or two buckets]:
 *
 * 1. one bucket of all others: both masses are known;
 * 2. A∖B and the rest: P(A∖B) is known, and Q(A∖B) ≤ |A∖B|·min_B q, because a
 *    token outside B is no more likely than any inside. The divergence of two
 *    buckets is convex in Q(A∖B) and falls up to the point where it equals 1.,
 *    so below that point it is smallest at the largest Q(A∖B) allowed;
 * 3. B∖A and the rest, with the sides exchanged.
 *
 * The largest of the three is returned, and 0 where that is negative. Each
 * stored logarithm may be off by its precision, and every term takes the value
 * that makes the bound smallest.
 *
 * @returns Infinity where a token of p > 0 has q = 0; NaN where a
 *   log-probability is NaN.
 */
export function leastKl(reference: TopList, candidate: TopList): number {
  if (hasNaN(reference) || hasNaN(candidate)) return Number.NaN;
  const places = new Map<number, number>();
  for (const [at, id] of candidate.ids.entries()) places.set(id, at);
  const p = { shared: new Mass(), own: new Mass() };
  const q = { shared: new Mass(), own: new Mass() };
  let singles = 0;
  for (const [at, id] of reference.ids.entries()) {
    const place = places.get(id);
    const mine = logOf(reference, at);
    if (place === undefined) {
      p.own.add(mine);
      continue;
    }
    places.delete(id);
    const theirs = logOf(candidate, place);
    p.shared.add(mine);
    q.shared.add(theirs);
    singles += leastTerm(mine, theirs);
  }
  for (const place of places.values()) q.own.add(logOf(candidate, place));

  const outside = { p: p.shared.complement(), q: q.shared.complement() };
  const merged = leastBucket(outside.p, outside.q.high);
  const largestOwnQ = mostOutside(candidate, p.own.count, q);
  const largestOwnP = mostOutside(reference, q.own.count, p);
  const rest = Math.max(
    merged,
    splitReference(p.own.range(), p, outside.q.high, largestOwnQ) ?? merged,
    splitCandidate(q.own.range().high, q, outside.p, largestOwnP) ?? merged,
  );
  return Math.max(0, singles + rest);
}

/** The mass of some tokens. */
class Mass {
  count = 0;
  private low = 0;
  private high = 0;

  add(log: Range): void {
    this.count += 1;
    this.low += Math.exp(log.low);
    this.high += Math.exp(log.high);
  }

  range(): Range {
    return {
      low: Math.max(0, this.low - SUM_ROUNDING),
      high: this.count === 0 ? 0 : Math.min(1, this.high + SUM_ROUNDING),
    };
  }

  /** What these tokens leave to the others. */
  complement(): Range {
    const { low, high } = this.range();
    return { low: Math.max(0, 1 - high - SUM_ROUNDING), high: Math.min(1, 1 - low + SUM_ROUNDING) };
  }

  with(other: Mass): Mass {
    const both = new Mass();
    both.count = this.count + other.count;
    both.low = this.low + other.low;
    both.high = this.high + other.high;
    return both;
  }
}

interface Side {
  readonly shared: Mass;
  readonly own: Mass;
}

/** Most mass that `count` tokens outside a list can have. */
function mostOutside(list: TopList, count: number, { shared, own }: Side): number {
  if (list.ids.length === 0) return 1;
  const { high } = logOf(list, list.ids.length - 1);
  return Math.min(count * Math.exp(high), shared.with(own).complement().high);
}

/** Bound 2: Q(A∖B) = `most` where the divergence still falls there, else null. */
function splitReference(
  own: Range,
  { shared, own: listed }: Side,
  total: number,
  most: number,
): number | null {
  const rest = shared.with(listed).complement();
  // The derivative by a = Q(A∖B), −P(A∖B)/a + P(rest)/(total − a), is negative up to `most`.
  if (!(own.low * (total - most) > rest.high * most)) return null;
  return leastBucket(own, most) + leastBucket(rest, total - most);
}

/** Bound 3: P(B∖A) = `most` where the divergence still falls there, else null. */
function splitCandidate(
  own: number,
  { shared, own: listed }: Side,
  total: Range,
  most: number,
): number | null {
  const rest = shared.with(listed).complement().high;
  // The derivative by b = P(B∖A), ln(b/Q(B∖A)) − ln((total − b)/Q(rest)), is negative up to `most`.
  if (!(most * rest < (total.low - most) * own)) return null;
  const remaining = { low: total.low - most, high: total.high - most };
  return leastBucket({ low: most, high: most }, own) + leastBucket(remaining, rest);
}

/** min P ln(P/Q) over P in `p` for one Q: convex in P, smallest at Q/e. */
function leastBucket(p: Range, q: number): number {
  const least = Math.min(p.high, Math.max(p.low, q / Math.E));
  return least === 0 ? 0 : least * Math.log(least / q);
}

/** p ln(p/q) of one token, at least. */
function leastTerm(p: Range, q: Range): number {
  if (p.high === Number.NEGATIVE_INFINITY) return 0;
  const logRatio = p.low - q.high;
  return Math.exp(logRatio >= 0 ? p.low : p.high) * logRatio;
}

function logOf({ logprobs, precision, scale }: TopList, at: number): Range {
  const log = logprobs[at] as number;
  if (log === Number.NEGATIVE_INFINITY) return { low: log, high: log };
  const slack = precision * Math.max(scale, Math.abs(log));
  return { low: log - slack, high: Math.min(0, log + slack) };
}

function hasNaN({ logprobs }: TopList): boolean {
  return logprobs.some(Number.isNaN);
}
