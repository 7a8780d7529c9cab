/** Kinds of errors made by hand: each is named, and what is near to it is not. */

import { describe, expect, test } from "vitest";
import { classify } from "../../src/diagnose/causes/index.ts";
import {
  at,
  type Change,
  changed,
  engine,
  normal,
  ROWS,
  reference,
  rounded,
  specimen,
  TOKENS,
  WIDTH,
} from "./specimens.ts";

/** A vector and a permutation that do not change from row to row. */
const VECTOR = Float64Array.from({ length: WIDTH }, normal(21));
const GAINS = Float64Array.from({ length: WIDTH }, normal(22));
const ORDER = Array.from({ length: WIDTH }, (_, column) => (column * 37 + 11) % WIDTH);

/** 1 at `share` of the elements, at random but always the same ones. */
function scattered(row: number, column: number, share: number): boolean {
  const mixed = Math.imul(row * WIDTH + column + 1, 0x9e3779b1) >>> 0;
  return mixed / 2 ** 32 < share;
}

const named: readonly (readonly [string, string, Change, Record<string, unknown>])[] = [
  [
    "one NaN",
    "cause/non-finite",
    (v, t, j) => (t === 5 && j === 3 ? Number.NaN : at(v, t, j)),
    { nan: 1, infinite: 0, affected: 1 },
  ],
  [
    "an overflow",
    "cause/non-finite",
    (v, t, j) => (t === 5 && j < 2 ? Number.NEGATIVE_INFINITY : at(v, t, j)),
    { nan: 0, infinite: 2 },
  ],
  ["no output", "cause/skipped", () => 0, { rows: ROWS }],
  [
    "a tile of zeros",
    "cause/unwritten",
    (v, t, j) => (t >= 8 && t < 16 && j >= 32 && j < 48 ? 0 : at(v, t, j)),
    { affected: 8, elements: 128, kind: "zero" },
  ],
  [
    "a stale tile",
    "cause/unwritten",
    (v, t, j) => (t === 20 && j < 24 ? at(v, 19, j) : at(v, t, j)),
    { affected: 1, elements: 24, kind: "stale" },
  ],
  [
    "a tile of another row",
    "cause/unwritten",
    (v, t, j) => (t >= 20 && t < 26 && j >= 16 && j < 40 ? at(v, t + 30, j) : at(v, t, j)),
    { affected: 6, kind: "foreign" },
  ],
  [
    "a clamp",
    "cause/saturation",
    (v, t, j) => Math.max(-2, Math.min(2, at(v, t, j))),
    { largest: 2 },
  ],
  [
    "a few flipped bits",
    "cause/sparse",
    (v, t, j) => at(v, t, j) * (j === (3 * t) % WIDTH && t % 9 === 0 ? -64 : 1),
    {},
  ],
  ["dropout", "cause/sparse", (v, t, j) => (scattered(t, j, 0.02) ? 0 : at(v, t, j)), {}],
  [
    "a duplicated token",
    "cause/token",
    (v, t, j) => at(v, t === 30 ? 29 : t, j),
    { affected: 1, copies: 1, sample: 0, token: 30 },
  ],
  [
    "two wrong tokens",
    "cause/token",
    (v, t, j, next) => (t === 40 || t === 70 ? next() : at(v, t, j)),
    { affected: 2, copies: 0 },
  ],
  ["rows one later", "cause/shift", (v, t, j) => at(v, Math.max(0, t - 1), j), { lag: 1 }],
  [
    "rows two earlier",
    "cause/shift",
    (v, t, j) => at(v, Math.min(ROWS - 1, t + 2), j),
    { lag: -2 },
  ],
  [
    "a dead channel",
    "cause/channel",
    (v, t, j) => (j === 17 ? 0 : at(v, t, j)),
    { channels: 1, first: 17, gain: 0 },
  ],
  [
    "three negated channels",
    "cause/channel",
    (v, t, j) => at(v, t, j) * (j % 40 === 5 ? -1 : 1),
    { channels: 3 },
  ],
  [
    "channels in another order",
    "cause/permutation",
    (v, t, j) => at(v, t, ORDER[j] ?? 0),
    { roll: 0 },
  ],
  [
    "channels rolled by 8",
    "cause/permutation",
    (v, t, j) => at(v, t, (j + WIDTH - 8) % WIDTH),
    { roll: 8 },
  ],
  ["the other sign", "cause/sign", (v, t, j) => -at(v, t, j), {}],
  ["7 bits", "cause/bits", (v, t, j) => rounded(at(v, t, j), 7), { bits: 7, of: 8 }],
  ["5 bits", "cause/bits", (v, t, j) => rounded(at(v, t, j), 5), { bits: 5, of: 8 }],
  ["a gain of 1.01", "cause/scale", (v, t, j) => 1.01 * at(v, t, j), {}],
  ["a gain of 0.8", "cause/scale", (v, t, j) => 0.8 * at(v, t, j), {}],
  ["a gain of 2.5", "cause/scale", (v, t, j) => 2.5 * at(v, t, j), {}],
  ["a constant vector", "cause/bias", (v, t, j) => at(v, t, j) + 0.05 * (VECTOR[j] ?? 0), {}],
  [
    "another norm weight",
    "cause/channel-gain",
    (v, t, j) => at(v, t, j) * (1 + 0.1 * (GAINS[j] ?? 0)),
    {},
  ],
  [
    "one direction",
    "cause/low-rank",
    (v, t, j) => at(v, t, j) + 0.3 * Math.sin(t) * (VECTOR[j] ?? 0),
    {},
  ],
  [
    "noise, as of a coarser format",
    "cause/precision",
    (v, t, j, next) => at(v, t, j) + 0.05 * next(),
    {},
  ],
];

describe("is named", () => {
  test.each(named)("%s: %s", (_name, id, change, detail) => {
    const found = classify(changed(change));
    expect(found?.id).toBe(id);
    expect(found?.detail).toMatchObject(detail);
    expect(found?.confidence).toBeGreaterThan(0);
    expect(found?.confidence).toBeLessThanOrEqual(1);
  });
});

test.each([
  [1.01, 0.001],
  [0.8, 0.001],
  [2.5, 0.005],
])("the gain that is named is the gain that was made: %d", (gain, tolerance) => {
  const found = classify(changed((v, t, j) => gain * at(v, t, j)));
  expect(Math.abs(Number(found?.detail["gain"]) - gain)).toBeLessThan(tolerance);
});

describe("what is near to a cause is not named after it", () => {
  const near: readonly (readonly [string, string | null, Change])[] = [
    ["a correct engine", null, (v, t, j) => at(v, t, j)],
    // Not the whole output.
    [
      "a gain of half the channels",
      "cause/channel-gain",
      (v, t, j) => at(v, t, j) * (j % 2 === 0 ? 1.2 : 1),
    ],
    [
      "a gain that varies from row to row",
      null,
      (v, t, j) => at(v, t, j) * (1 + 0.1 * Math.sin(7 * t)),
    ],
    // Not the same vector in all rows.
    [
      "a vector whose sign varies",
      "cause/low-rank",
      (v, t, j) => at(v, t, j) + (t % 2 === 0 ? 0.2 : -0.2) * (VECTOR[j] ?? 0),
    ],
    // Not noise: it lies in the directions of r.
    ["the next row mixed in", null, (v, t, j) => at(v, t, j) + 0.2 * at(v, (t + 1) % ROWS, j)],
    // Half of the rows are of another sample: neither few rows nor shifted.
    [
      "every other row is another's",
      null,
      (v, t, j) => at(v, t % 2 === 0 ? t : (t + 31) % ROWS, j),
    ],
  ];

  test.each(near)("%s: %s", (_name, id, change) => {
    expect(classify(changed(change))?.id ?? null).toBe(id);
  });

  test("zeros where the reference is zero too were written", () => {
    const r = reference().map((value, i) =>
      i % WIDTH < 24 && i % (8 * WIDTH) < WIDTH ? 0 : value,
    );
    expect(
      classify(
        specimen(
          engine(r, 7).map((value, i) => (r[i] === 0 ? 0 : value)),
          r,
        ),
      ),
    ).toBeNull();
  });

  test("values that end equal by chance are no clamp", () => {
    const r = reference();
    const largest = r.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    for (const i of [100, 4000, 9000]) r[i] = largest;
    expect(classify(specimen(engine(r, 7), r))).toBeNull();
  });

  test("rows that are alike are not shifted, and a constant row is no duplicate", () => {
    const one = reference().subarray(0, WIDTH);
    const r = Float64Array.from({ length: ROWS * WIDTH }, (_, i) => one[i % WIDTH] ?? 0);
    expect(classify(specimen(engine(r, 7), r))).toBeNull();
  });

  test("bfloat16 values in float32 are rounded to 8 bits, and no error at all is none", () => {
    const r = reference();
    expect(classify(specimen(engine(r, 7), r, "F32"))).toMatchObject({
      id: "cause/bits",
      detail: { bits: 8, of: 24 },
    });
    expect(classify(specimen(r.slice(), r, "F32"))).toBeNull();
  });

  test("a row copied over a sample's edge is no neighbour", () => {
    const found = classify(changed((v, t, j) => at(v, t === TOKENS ? TOKENS - 1 : t, j)));
    expect(found).toMatchObject({ id: "cause/token", detail: { copies: 0, sample: 1, token: 0 } });
  });
});
