import { describe, expect, test } from "vitest";
import { Distribution, EXACT_VALUES } from "../../src/core/distribution.ts";
import { uniform } from "../support/toy-run.ts";

function distributionOf(values: Iterable<number>): Distribution {
  const distribution = new Distribution();
  for (const value of values) distribution.add(value);
  return distribution;
}

describe("few values", () => {
  // numpy.quantile([7, 1, 3, 10], [0, 0.1, 0.5, 0.99, 1])
  test.each([
    [0, 1],
    [0.1, 1.6],
    [0.5, 5],
    [0.99, 9.91],
    [1, 10],
  ])("interpolate like NumPy: %d", (q, expected) => {
    expect(distributionOf([7, 1, 3, 10]).quantile(q)).toBeCloseTo(expected, 12);
  });

  test("of none there is no quantile, of one it is that one", () => {
    expect(distributionOf([]).quantile(0.5)).toBeNaN();
    expect(distributionOf([4]).quantile(0.99)).toBe(4);
  });

  test("infinity is a value like any other", () => {
    const distribution = distributionOf([1, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
    expect(distribution.quantile(0.5)).toBe(Number.POSITIVE_INFINITY);
    expect(distribution.quantile(0)).toBe(1);
  });

  test("values may come after a quantile was asked for", () => {
    const distribution = distributionOf([3, 1]);
    expect(distribution.quantile(0)).toBe(1);
    distribution.add(0.5);
    expect(distribution.quantile(0)).toBe(0.5);
    expect(distribution.count).toBe(3);
  });
});

describe("more values than are kept", () => {
  const random = uniform(5);
  const values = Float64Array.from({ length: EXACT_VALUES + 1000 }, () => 10 ** (8 * random()));
  const distribution = distributionOf(values);
  const sorted = values.toSorted();

  test.each([0.01, 0.5, 0.95, 0.99, 0.999])("the %d quantile is within 0.55 %%", (q) => {
    const exact = sorted[Math.round(q * (sorted.length - 1))] ?? 0;
    expect(Math.abs(distribution.quantile(q) / exact - 1)).toBeLessThan(0.0055);
  });

  test("zeros, infinities and the smallest number keep their places", () => {
    const edges = distributionOf([
      ...Array.from({ length: EXACT_VALUES / 2 }, () => 0),
      ...Array.from({ length: EXACT_VALUES / 4 }, () => Number.MIN_VALUE),
      ...Array.from({ length: EXACT_VALUES / 2 }, () => Number.POSITIVE_INFINITY),
    ]);
    expect(edges.quantile(0.2)).toBe(0);
    expect(edges.quantile(0.5)).toBeGreaterThan(0);
    expect(edges.quantile(0.5)).toBeLessThan(2 * Number.MIN_VALUE);
    expect(edges.quantile(0.9)).toBe(Number.POSITIVE_INFINITY);
  });
});
