/** Specimens made by hand: a correct engine's rows, changed in one known way. */

import type { FloatDType } from "../../src/core/dtype.ts";
import type { Specimen } from "../../src/measure/specimen.ts";
import { uniform } from "../support/toy-run.ts";

export const SAMPLES = 2;
export const TOKENS = 60;
export const ROWS: number = SAMPLES * TOKENS;
export const WIDTH = 96;

/** Relative size of a correct engine's error before it is stored in bfloat16. */
const NOISE = 0.003;

/** Directions that rows have in common, as those of a model have. */
const DIRECTIONS = 6;

/** Normal numbers, always the same for a seed (Box and Muller). */
export function normal(seed: number): () => number {
  const random = uniform(seed);
  return () => Math.sqrt(-2 * Math.log((1 - random()) / 2)) * Math.cos(Math.PI * random());
}

/** To bfloat16 and back: 8 significant bits, ties to even. */
export function bfloat16(value: number): number {
  return Math.sign(value) * rounded(Math.abs(value), 8);
}

/** To so many significant bits, ties to even. */
export function rounded(value: number, bits: number): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) - bits + 1);
  const scaled = value / unit;
  const below = Math.floor(scaled);
  const rest = scaled - below;
  const up = rest > 0.5 || (rest === 0.5 && below % 2 !== 0);
  return (below + Number(up)) * unit;
}

/** What the reference answers: rows of a few common directions and as much of their own. */
export function reference(seed = 1): Float64Array {
  const next = normal(seed);
  const directions = Array.from({ length: DIRECTIONS }, () =>
    Float64Array.from({ length: WIDTH }, next),
  );
  const r = new Float64Array(ROWS * WIDTH);
  for (let row = 0; row < ROWS; row += 1) {
    const amounts = directions.map(next);
    for (let column = 0; column < WIDTH; column += 1) {
      const common = directions.reduce(
        (sum, one, i) => sum + (amounts[i] ?? 0) * (one[column] ?? 0),
        0,
      );
      r[row * WIDTH + column] = Math.fround(common / 2 + next());
    }
  }
  return r;
}

/** What a correct engine answers in bfloat16. */
export function engine(r: Float64Array, seed: number): Float64Array {
  const next = normal(seed);
  return r.map((value) => bfloat16(value + 1.6 * NOISE * next()));
}

/** ρ_t of each row. */
export function rowErrors(x: Float64Array, r: Float64Array, width = WIDTH): Float64Array {
  return Float64Array.from({ length: r.length / width }, (_, row) => {
    let [error, size] = [0, 0];
    for (let i = row * width; i < (row + 1) * width; i += 1) {
      error += ((x[i] ?? 0) - (r[i] ?? 0)) ** 2;
      size += (r[i] ?? 0) ** 2;
    }
    if (error === 0) return 0;
    const rho = Math.sqrt(error / size);
    return Number.isNaN(rho) ? Number.POSITIVE_INFINITY : rho;
  });
}

/** A specimen of x beside r, with the floor that {@link engine} makes. */
export function specimen(x: Float64Array, r: Float64Array, dtype: FloatDType = "BF16"): Specimen {
  const sorted = rowErrors(engine(r, 99), r).sort();
  return {
    role: "mlp",
    dtype,
    forced: true,
    rows: ROWS,
    width: WIDTH,
    x,
    r,
    at: Array.from({ length: ROWS }, (_, row) => ({
      sample: Math.floor(row / TOKENS),
      step: 0,
      token: row % TOKENS,
    })),
    errors: rowErrors(x, r),
    floor: {
      median: sorted[Math.floor(ROWS / 2)] ?? 0,
      q99: sorted[Math.floor(0.99 * ROWS)] ?? 0,
    },
  };
}

/** Changes of an engine's answer: the value at row and column from all of its values. */
export type Change = (
  values: Float64Array,
  row: number,
  column: number,
  next: () => number,
) => number;

/** The specimen of an engine whose answer is changed, stored in bfloat16 again. */
export function changed(change: Change): Specimen {
  const r = reference();
  const clean = engine(r, 7);
  const next = normal(13);
  const x = clean.map((_, i) => bfloat16(change(clean, Math.floor(i / WIDTH), i % WIDTH, next)));
  return specimen(x, r);
}

/** The value at `row` and `column`. */
export function at(values: Float64Array, row: number, column: number): number {
  return values[row * WIDTH + column] ?? 0;
}
