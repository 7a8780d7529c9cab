import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SoftmaxPair } from "../../src/measure/softmax-pair.ts";
import { TopK } from "../../src/measure/top-k.ts";

const logits = fc.double({ min: -300, max: 300, noNaN: true });
const masked = fc.oneof({ weight: 9, arbitrary: logits }, fc.constant(Number.NEGATIVE_INFINITY));
const rows = fc.array(fc.tuple(masked, logits), { minLength: 1, maxLength: 40 }).map((pairs) => ({
  x: Float64Array.from(pairs, ([x]) => x),
  // A token masked in the reference is masked in the candidate.
  y: Float64Array.from(pairs, ([x, y]) => (x === Number.NEGATIVE_INFINITY ? x : y)),
}));

/** The textbook form, with the largest value taken off. */
function logSumExp(values: Float64Array): number {
  const max = Math.max(...values);
  return max + Math.log(values.reduce((sum, value) => sum + Math.exp(value - max), 0));
}

function pairOf(x: Float64Array, y: Float64Array, cuts: readonly number[] = []): SoftmaxPair {
  const pair = new SoftmaxPair();
  let from = 0;
  for (const to of [...cuts, x.length]) {
    pair.add(x, y, from, to - from);
    from = to;
  }
  return pair;
}

describe("one row", () => {
  test("agrees with the textbook", () => {
    fc.assert(
      fc.property(
        rows.filter(({ x }) => x.some(Number.isFinite)),
        ({ x, y }) => {
          const pair = pairOf(x, y);
          const [lseX, lseY] = [logSumExp(x), logSumExp(y)];
          expect(Math.abs(pair.lseReference - lseX)).toBeLessThan(1e-12 * (1 + Math.abs(lseX)));
          const kl = x.reduce((sum, a, i) => {
            const logP = a - lseX;
            const term = Math.exp(logP) * (logP - ((y[i] ?? 0) - lseY));
            return a === Number.NEGATIVE_INFINITY ? sum : sum + term;
          }, 0);
          expect(Math.abs(pair.kl - kl)).toBeLessThan(1e-10 + 1e-10 * kl);
        },
      ),
    );
  });

  test("is the same in several pieces", () => {
    fc.assert(
      fc.property(rows, fc.double({ min: 0, max: 1, noNaN: true }), ({ x, y }, share) => {
        const cut = Math.floor(share * x.length);
        const [whole, parts] = [pairOf(x, y), pairOf(x, y, [cut])];
        if (Number.isNaN(whole.kl)) expect(parts.kl).toBeNaN();
        else expect(Math.abs(parts.kl - whole.kl)).toBeLessThan(1e-10 + 1e-10 * whole.kl);
      }),
    );
  });

  test("a token that only the candidate masks makes KL infinite", () => {
    const pair = pairOf(Float64Array.of(0, 0), Float64Array.of(0, Number.NEGATIVE_INFINITY));
    expect(pair.kl).toBe(Number.POSITIVE_INFINITY);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])("%d anywhere is no figure", (value) => {
    expect(pairOf(Float64Array.of(0, value), Float64Array.of(0, 1)).kl).toBeNaN();
    expect(pairOf(Float64Array.of(0, 1), Float64Array.of(0, value)).kl).toBeNaN();
  });
});

test("the ten best come in the order of a stable sort", () => {
  const few = fc.integer({ min: 0, max: 12 });
  fc.assert(
    fc.property(fc.array(few, { minLength: 1, maxLength: 60 }), (values) => {
      const top = new TopK();
      for (const [index, value] of values.entries()) {
        if (!(value <= top.threshold)) top.add(value, index);
      }
      const expected = values
        .map((value, index) => ({ value, index }))
        .toSorted((a, b) => b.value - a.value || a.index - b.index)
        .slice(0, 10)
        .map(({ index }) => index);
      expect([...top.indices.subarray(0, top.count)]).toEqual(expected);
    }),
  );
});
