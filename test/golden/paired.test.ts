/** Right or wrong on two sides, against SciPy, statsmodels and mpmath (`fixtures/paired_cases.py`). */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { binomialTest, mcnemarExact } from "../../src/core/statistics/binomial.ts";
import { boundedMeanInterval } from "../../src/core/statistics/bounded-mean.ts";
import { tangoInterval } from "../../src/core/statistics/paired-shares.ts";
import { passAt } from "../../src/core/statistics/pass-at.ts";
import { signFlipTest, studentTest } from "../../src/core/statistics/sign-flip.ts";
import { normalPoint, wilsonInterval, Z95 } from "../../src/core/statistics.ts";
import { random } from "../support/scratch.ts";

type Interval = readonly [number, number];

interface Expected {
  readonly paired: readonly {
    readonly lost: number;
    readonly gained: number;
    readonly items: number;
    readonly mcnemar: number;
    readonly ci95: Interval;
    readonly ci999: Interval;
  }[];
  readonly wilson: readonly {
    readonly correct: number;
    readonly items: number;
    readonly ci95: Interval;
  }[];
  readonly baseline: readonly {
    readonly correct: number;
    readonly items: number;
    readonly baseline: number;
    readonly p: number;
  }[];
  readonly passAt: readonly {
    readonly runs: number;
    readonly correct: number;
    readonly k: number;
    readonly share: number;
  }[];
  readonly normal: readonly { readonly level: number; readonly z: number }[];
  readonly signFlip: readonly {
    readonly name: string;
    readonly differences: readonly number[];
    readonly p: number;
  }[];
  readonly student: readonly {
    readonly name: string;
    readonly values: readonly number[];
    readonly expected: number;
    readonly p: number;
  }[];
  readonly clustered: readonly {
    readonly values: readonly number[];
    readonly groups: readonly number[];
    readonly mean: number;
    readonly ci95: Interval;
    readonly ci99: Interval;
  }[];
}

const EXPECTED = JSON.parse(
  readFileSync(new URL("../../fixtures/paired/expected.json", import.meta.url), "utf8"),
) as Expected;

/** To a part of its own size; absolutely below `least`. */
function expectClose(found: number, wanted: number, relative = 1e-9, least = 1e-14): void {
  const close = Math.abs(found - wanted) <= Math.max(least, relative * Math.abs(wanted));
  expect(close, `${String(found)} for ${String(wanted)}`).toBe(true);
}

function expectInterval(found: Interval | null, wanted: Interval, relative?: number): void {
  expectClose(found?.[0] ?? Number.NaN, wanted[0], relative);
  expectClose(found?.[1] ?? Number.NaN, wanted[1], relative);
}

function ones(values: readonly number[]) {
  return values.map((sum) => ({ count: 1, sum }));
}

describe("paired shares", () => {
  test.each(EXPECTED.paired)("$lost lost, $gained gained of $items", (one) => {
    const { lost, gained, items } = one;
    expectInterval(tangoInterval(lost, gained, items, Z95), one.ci95);
    expectInterval(tangoInterval(lost, gained, items, normalPoint(0.999)), one.ci999);
    expectClose(mcnemarExact(lost, gained), one.mcnemar, 1e-9, 1e-300);
  });

  test("a published interval: 7 and 1 of 21 (Fagerland, Lydersen and Laake 2014)", () => {
    const [low, high] = tangoInterval(7, 1, 21, Z95);
    expect([low.toFixed(3), high.toFixed(3)]).toEqual(["-0.517", "-0.026"]);
  });

  test("no items leave everything open", () => {
    expect(tangoInterval(0, 0, 0, Z95)).toEqual([-1, 1]);
    expect(mcnemarExact(0, 0)).toBe(1);
  });
});

test.each(EXPECTED.wilson)("Wilson: $correct of $items", ({ correct, items, ci95 }) => {
  expectInterval(wilsonInterval(correct, items), ci95);
});

test.each(EXPECTED.baseline)("$correct of $items against $baseline", (one) => {
  expectClose(binomialTest(one.correct, one.items, one.baseline), one.p, 1e-9, 1e-300);
});

test.each(EXPECTED.passAt)("pass@$k of $correct in $runs", ({ runs, correct, k, share }) => {
  expectClose(passAt(runs, correct, k), share, 1e-12);
});

test.each(EXPECTED.normal)("normal point of $level", ({ level, z }) => {
  expectClose(normalPoint(level), z);
});

describe("differences of scores", () => {
  test.each(EXPECTED.signFlip)("all signs: $name", ({ differences, p }) => {
    const found = signFlipTest(ones(differences));
    expect(found.method).toBe("sign-flip-exact");
    expectClose(found.p, p, 1e-12);
  });

  test("drawn signs agree with McNemar, of which they are the general case", () => {
    const [lost, gained] = [70, 45];
    const next = random(5);
    const differences = [...Array<number>(lost).fill(-1), ...Array<number>(gained).fill(1)].sort(
      () => next() - 0.5,
    );
    const exact = mcnemarExact(lost, gained);
    const found = signFlipTest(ones(differences));
    expect(found.method).toBe("sign-flip-sampled");
    // Five standard errors of 9,999 draws.
    expect(Math.abs(found.p - exact)).toBeLessThan(5 * Math.sqrt((exact * (1 - exact)) / 9999));
    expect(signFlipTest(ones(differences))).toEqual(found);
    expect(found.p).toBeGreaterThan(0);
  });

  test("of very many, Student's t", () => {
    const next = random(6);
    const clusters = ones(Array.from({ length: 20_000 }, () => next() - 0.5));
    expect(signFlipTest(clusters)).toEqual({ method: "student-t", p: studentTest(clusters) });
  });

  test.each(EXPECTED.student)("Student: $name", ({ values, expected, p }) => {
    expectClose(studentTest(ones(values.map((value) => value - expected))), p, 1e-8, 1e-30);
  });

  test.each(EXPECTED.clustered)("clustered, $groups.length items", (one) => {
    const count = Math.max(...one.groups) + 1;
    const clusters = Array.from({ length: count }, (_, group) => {
      const values = one.values.filter((_value, item) => one.groups[item] === group);
      return { count: values.length, sum: values.reduce((total, value) => total + value, 0) };
    });
    // jStat's quantiles of Student's t have eight digits.
    expectInterval(boundedMeanInterval(clusters, [-1, 1]), one.ci95, 1e-7);
    expectInterval(boundedMeanInterval(clusters, [-1, 1], 0.99), one.ci99, 1e-7);
  });

  test("clusters that agree leave what Tango leaves without a flip, or with nothing else", () => {
    for (const items of [1, 7, 1319]) {
      const none = ones(Array<number>(items).fill(0));
      const all = ones(Array<number>(items).fill(-1));
      expectInterval(boundedMeanInterval(none, [-1, 1]), tangoInterval(0, 0, items, Z95));
      if (items > 1) {
        const [low, high] = boundedMeanInterval(all, [-1, 1]) ?? [];
        expect(low).toBe(-1);
        expect(high).toBeGreaterThan(-1);
      }
    }
  });

  test("below six clusters that differ there is no interval", () => {
    expect(boundedMeanInterval(ones([0, 1, 0.5, 0.25, 0.1]), [0, 1])).toBe(null);
    expect(boundedMeanInterval([], [0, 1])).toEqual([0, 1]);
  });
});
