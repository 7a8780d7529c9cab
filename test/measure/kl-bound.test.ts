/** The least KL divergence against whole distributions: never above the truth, and how near. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { leastKl } from "../../src/measure/kl-bound.ts";
import type { TopList } from "../../src/measure/logits-form.ts";

/** ln p of every token. */
function logSoftmax(logits: readonly number[]): readonly number[] {
  const max = Math.max(...logits);
  const lse = max + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - max), 0));
  return logits.map((value) => value - lse);
}

function klOf(p: readonly number[], q: readonly number[]): number {
  return p.reduce((sum, log, i) => sum + Math.exp(log) * (log - (q[i] as number)), 0);
}

function best(logs: readonly number[], k: number, precision = 2 ** -22): TopList {
  const order = logs
    .map((value, id) => [value, id] as const)
    .sort(([a, i], [b, j]) => b - a || i - j)
    .slice(0, k);
  return {
    ids: Float64Array.from(order, ([, id]) => id),
    logprobs: Float64Array.from(order, ([value]) => Math.fround(value)),
    precision,
    scale: 4,
  };
}

const vocabulary = 20;
const row = (size: number) =>
  fc.array(fc.double({ min: -size, max: size, noNaN: true }), {
    minLength: vocabulary,
    maxLength: vocabulary,
  });
const k = fc.integer({ min: 1, max: vocabulary });

test("is never above the divergence of whole distributions", () => {
  fc.assert(
    fc.property(row(12), row(12), k, k, (x, y, mine, theirs) => {
      const [p, q] = [logSoftmax(x), logSoftmax(y)];
      const bound = leastKl(best(p, mine), best(q, theirs));
      expect(bound).toBeGreaterThanOrEqual(0);
      expect(bound).toBeLessThanOrEqual(klOf(p, q) + 1e-12);
    }),
    { numRuns: 2000 },
  );
});

test("is never above it for distributions that are nearly equal", () => {
  fc.assert(
    fc.property(row(12), row(1), fc.integer({ min: -30, max: 0 }), k, (x, d, exponent, size) => {
      const y = x.map((value, i) => value + (d[i] as number) * 2 ** exponent);
      const [p, q] = [logSoftmax(x), logSoftmax(y)];
      expect(leastKl(best(p, size), best(q, size))).toBeLessThanOrEqual(klOf(p, q) + 1e-14);
    }),
    { numRuns: 2000 },
  );
});

test("is the divergence itself where both lists hold every token", () => {
  fc.assert(
    fc.property(row(6), row(6), (x, y) => {
      const [p, q] = [logSoftmax(x), logSoftmax(y)];
      const bound = leastKl(best(p, vocabulary), best(q, vocabulary));
      expect(Math.abs(bound - klOf(p, q))).toBeLessThan(1e-3);
    }),
  );
});

test("sees that two lists have nothing in common", () => {
  const peak = (at: number) =>
    logSoftmax(Array.from({ length: vocabulary }, (_, i) => (Math.floor(i / 4) === at ? 10 : 0)));
  const [p, q] = [peak(0), peak(2)];
  const bound = leastKl(best(p, 4), best(q, 4));
  // By hand: the four best of P hold nearly 1, and no more than four times the least of Q's best.
  expect(bound).toBeGreaterThan(0);
  expect(bound).toBeLessThanOrEqual(klOf(p, q));
  const narrow = leastKl(best(p, 6), best(q, 6));
  expect(narrow).toBeGreaterThan(7);
});

test("a token of probability 0 makes it infinite, NaN makes it NaN", () => {
  const logs = logSoftmax([3, 2, 1, 0]);
  const list = best(logs, 4);
  const with_ = (value: number): TopList => ({ ...list, logprobs: list.logprobs.with(3, value) });
  expect(leastKl(list, with_(Number.NEGATIVE_INFINITY))).toBe(Number.POSITIVE_INFINITY);
  expect(leastKl(with_(Number.NEGATIVE_INFINITY), with_(Number.NEGATIVE_INFINITY))).toBe(0);
  expect(leastKl(list, with_(Number.NaN))).toBeNaN();
});

test("rounding larger than the difference proves nothing", () => {
  const p = logSoftmax([3, 2, 1, 0]);
  const q = logSoftmax([3.001, 2, 1, 0]);
  expect(leastKl(best(p, 4, 1e-2), best(q, 4, 1e-2))).toBe(0);
});
