/** Where the error of many rows points: in one direction, in those of r, or anywhere. */

import type { Features } from "./features.ts";

/** Rows that are looked at: more do not change the answer. */
const MOST_ROWS = 192;

/** Multiplications that a product of all rows with all may cost; fewer rows are looked at beyond. */
const MOST_WORK = 2 ** 28;

/** Steps of the power iteration: where one direction holds more than half, ten are exact to a per mille. */
const STEPS = 30;

const FOUR = 4;

/** Of the rows' errors and of r, each with the mean of all rows taken off. */
export interface Spectrum {
  /** Share of the error's energy in its first singular direction, and in its first four, 0 … 1. */
  readonly first: number;
  readonly firstFour: number;
  /**
   * tr(Σ_E Σ_R)·tr Σ_R / (tr Σ_E · tr Σ_R²), Σ the covariances of the columns: 1
   * where the error lies in the directions of r as r itself does, near 0 where it
   * lies anywhere.
   */
  readonly alignment: number;
}

/** Null where there is no error, or r does not vary. */
export function spectrumOf(features: Features): Spectrum | null {
  const { rows, width } = features.specimen;
  const most = Math.max(1, Math.floor(Math.sqrt(MOST_WORK / width)));
  const height = Math.min(rows, MOST_ROWS, most);
  const errors = new Float64Array(height * width);
  const known = new Float64Array(height * width);
  for (let nth = 0; nth < height; nth += 1) {
    const row = Math.floor((nth * rows) / height);
    const weight = features.weights[row] as number;
    const norm = features.norms[row] as number;
    if (weight === 0) continue;
    const [x, r] = [features.rowOf("x", row), features.rowOf("r", row)];
    for (let i = 0; i < width; i += 1) {
      errors[nth * width + i] = weight * ((x[i] as number) - (r[i] as number));
      known[nth * width + i] = (r[i] as number) / norm;
    }
  }
  centre(errors, height, width);
  centre(known, height, width);
  const ofErrors = products(errors, errors, height, width);
  const ofKnown = products(known, known, height, width);
  const [errorSize, knownSize] = [trace(ofErrors, height), trace(ofKnown, height)];
  if (!(errorSize > 0) || !(knownSize > 0)) return null;
  const crossed = squares(products(errors, known, height, width));
  return {
    ...leading(ofErrors, height, errorSize),
    alignment: (crossed * knownSize) / (errorSize * squares(ofKnown)),
  };
}

/** Takes the mean of all rows off each. */
function centre(matrix: Float64Array, rows: number, width: number): void {
  for (let column = 0; column < width; column += 1) {
    let mean = 0;
    for (let i = column; i < matrix.length; i += width) mean += (matrix[i] as number) / rows;
    for (let i = column; i < matrix.length; i += width) matrix[i] = (matrix[i] as number) - mean;
  }
}

/** A·Bᵀ. */
function products(a: Float64Array, b: Float64Array, rows: number, width: number): Float64Array {
  const result = new Float64Array(rows * rows);
  for (let i = 0; i < rows; i += 1) {
    for (let j = 0; j < rows; j += 1) {
      let sum = 0;
      for (let k = 0, left = i * width, right = j * width; k < width; k += 1) {
        sum += (a[left + k] as number) * (b[right + k] as number);
      }
      result[i * rows + j] = sum;
    }
  }
  return result;
}

function trace(matrix: Float64Array, rows: number): number {
  let sum = 0;
  for (let i = 0; i < rows; i += 1) sum += matrix[i * rows + i] as number;
  return sum;
}

function squares(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value * value, 0);
}

/** The shares of the largest eigenvalue and of the four largest of a positive semidefinite matrix in its trace. */
function leading(
  matrix: Float64Array,
  rows: number,
  size: number,
): Pick<Spectrum, "first" | "firstFour"> {
  const rest = matrix.slice();
  const values = Array.from({ length: Math.min(FOUR, rows) }, () => {
    const { value, vector } = largestEigenvalue(rest, rows);
    for (let i = 0; i < rows; i += 1) {
      for (let j = 0; j < rows; j += 1) {
        const part = value * (vector[i] as number) * (vector[j] as number);
        rest[i * rows + j] = (rest[i * rows + j] as number) - part;
      }
    }
    return value;
  });
  return {
    first: (values[0] ?? 0) / size,
    firstFour: values.reduce((sum, value) => sum + value, 0) / size,
  };
}

/** By power iteration from the matrix's row of the largest norm. */
function largestEigenvalue(
  matrix: Float64Array,
  rows: number,
): { readonly value: number; readonly vector: Float64Array } {
  const rowAt = (row: number): Float64Array => matrix.subarray(row * rows, (row + 1) * rows);
  let next = rowAt(0);
  for (let row = 1; row < rows; row += 1) {
    if (squares(rowAt(row)) > squares(next)) next = rowAt(row);
  }
  let vector: Float64Array = new Float64Array(rows);
  for (let step = 0; step < STEPS; step += 1) {
    const size = Math.sqrt(squares(next));
    if (size === 0) return { value: 0, vector };
    vector = next.map((one) => one / size);
    const unit = vector;
    next = unit.map((_, row) =>
      rowAt(row).reduce((sum, one, i) => sum + one * (unit[i] as number), 0),
    );
  }
  return { value: Math.sqrt(squares(next)), vector };
}
