/**
 * Every per-tensor figure against exact arithmetic (`fixtures/metric_cases.py`),
 * to the tolerances that the figures promise.
 */

import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { compareDumps } from "../../src/compare.ts";
import type { ComparisonResult } from "../../src/core/result.ts";
import type { TensorResult } from "../../src/core/tensor-result.ts";

const DIRECTORY = new URL("../../fixtures/metrics/", import.meta.url).pathname;

/** A number as JSON holds it. */
type Figure = number | "NaN" | "Infinity" | "-Infinity";

interface Expected {
  readonly relL2: Figure;
  readonly cosineDistance: Figure;
  readonly mse: Figure;
  readonly rmse: Figure;
  readonly meanAbs: Figure;
  readonly bias: Figure;
  readonly maxAbs: Figure;
  readonly normRatio: Figure;
  readonly slope: Figure;
  readonly tokenRelL2: Record<"gm" | "p50" | "p99" | "max" | "worstSampleGm", Figure | null>;
  readonly tokenCosine: Record<"mean" | "min" | "p1" | "p5" | "p50", number>;
  readonly nonFinite: {
    readonly reference: object;
    readonly candidate: object;
    readonly mismatched: number;
  };
  readonly floor?: Record<"floorRatio" | "floorRatioP99" | "floorTokenRatio" | "floorGm", Figure>;
}

const EXPECTED = JSON.parse(readFileSync(`${DIRECTORY}expected.json`, "utf8")) as Record<
  string,
  Expected
>;

/** Relative tolerance of sums of squares and of what is made of them. */
const RELATIVE = 1e-9;

let plain: ComparisonResult;
let withFloor: ComparisonResult;

beforeAll(async () => {
  const files = {
    reference: `${DIRECTORY}reference.arrow`,
    candidate: `${DIRECTORY}candidate.arrow`,
  };
  plain = await compareDumps(files);
  withFloor = await compareDumps({ ...files, floors: [`${DIRECTORY}floor.arrow`] });
});

function tensor(result: ComparisonResult, name: string): TensorResult {
  const found = result.tensors.find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`${name} was not compared`);
  return found;
}

function toNumber(figure: Figure): number {
  return typeof figure === "number" ? figure : Number(figure);
}

/** Asserts |actual − expected| ≤ tolerance, infinities and NaN exactly. */
function expectClose(what: string, actual: number | null, figure: Figure, tolerance: number): void {
  const expected = toNumber(figure);
  if (!Number.isFinite(expected)) {
    expect(actual, what).toBe(expected);
    return;
  }
  expect(actual, what).not.toBeNull();
  const error = Math.abs((actual ?? Number.NaN) - expected);
  expect(error <= tolerance, `${what}: ${String(actual)}, expected ${String(expected)}`).toBe(true);
}

function relative(what: string, actual: number | null, figure: Figure): void {
  expectClose(what, actual, figure, RELATIVE * Math.abs(toNumber(figure)));
}

test("every case was compared", () => {
  expect(plain.tensors.map(({ name }) => name).toSorted()).toEqual(
    Object.keys(EXPECTED).toSorted(),
  );
});

describe.each(Object.keys(EXPECTED))("%s", (name) => {
  const expected = EXPECTED[name] as Expected;

  test("sums, extremes and counts", () => {
    const actual = tensor(plain, name);
    relative("relL2", actual.relL2, expected.relL2);
    relative("mse", actual.mse, expected.mse);
    relative("rmse", actual.rmse, expected.rmse);
    relative("meanAbs", actual.meanAbs, expected.meanAbs);
    relative("normRatio", actual.normRatio, expected.normRatio);
    expectClose(
      "slope",
      actual.slope,
      expected.slope,
      RELATIVE * Math.max(Math.abs(toNumber(expected.slope)), toNumber(expected.normRatio)),
    );
    expectClose("bias", actual.bias, expected.bias, 1e-12 * toNumber(expected.meanAbs));
    expect(actual.maxAbs).toBe(toNumber(expected.maxAbs));
    expect(actual.nonFinite).toMatchObject(expected.nonFinite);
  });

  test("cosine", () => {
    const actual = tensor(plain, name);
    const distance = toNumber(expected.cosineDistance);
    const near = Math.abs(toNumber(expected.normRatio) - 1) <= 1e-3;
    expectClose(
      "cosineDistance",
      actual.cosineDistance,
      expected.cosineDistance,
      near ? Math.max(1e-6 * distance, 1e-15 * toNumber(expected.relL2) ** 2) : 4e-15,
    );
    expectClose("cosine", actual.cosine, 1 - distance, 4e-15);
    for (const [figure, value] of Object.entries(expected.tokenCosine)) {
      const measured = actual.tokenCosine?.[figure as keyof Expected["tokenCosine"]] ?? null;
      expectClose(`tokenCosine.${figure}`, measured, value, 1e-14);
    }
  });

  test("rows", () => {
    const actual = tensor(plain, name);
    for (const [figure, value] of Object.entries(expected.tokenRelL2)) {
      if (value === null) continue;
      const measured = actual.tokenRelL2?.[figure as keyof Expected["tokenRelL2"]] ?? null;
      relative(`tokenRelL2.${figure}`, measured, value);
    }
  });
});

describe.each(Object.keys(EXPECTED).filter((name) => EXPECTED[name]?.floor !== undefined))(
  "%s against the floor",
  (name) => {
    const figures = Object.entries(EXPECTED[name]?.floor ?? {});

    test.each(figures)("%s", (figure, value) => {
      const floor = tensor(withFloor, name).floor;
      const measured = floor?.[figure as keyof NonNullable<Expected["floor"]>] ?? null;
      // Rows near the floor's median are weighed to 0.55 %, see FloorComparison.
      const tolerance = figure === "floorTokenRatio" ? 0.0055 : RELATIVE;
      expectClose(figure, measured, value, tolerance * toNumber(value));
    });
  },
);
