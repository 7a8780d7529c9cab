/** Statistics of one tensor of one side: as the file has them, or from its data. */

import { extentOf } from "../align/shapes.ts";
import { isFloatDType } from "../core/dtype.ts";
import { NpuDiffError } from "../core/errors.ts";
import { ScaledSum } from "../core/scaled-sum.ts";
import type { Dump, TensorEntry, TensorStats } from "../dump/dump.ts";
import type { SegmentReader } from "./segments.ts";

/** {@link TensorStats} with the number of finite values; `min max mean rms` are NaN where it is 0. */
export interface Statistics extends TensorStats {
  readonly finite: number;
  readonly precision: number;
}

/**
 * How far `mean` and `rms` may be from the exact ones, relative to the exact
 * `rms`, unless statistics say it themselves: a thousand times what float64 sums of a million elements lose.
 * `min` and `max` are elements, and exact.
 */
export const STATISTICS_PRECISION = 1e-9;

/**
 * The statistics of `entry`, null where neither they nor its data are known.
 * Dense data is read: what is compared is the data, whatever its writer said
 * of it.
 *
 * @param progress called with the number of bytes read.
 * @throws NpuDiffError `dump-corrupt` where stored statistics contradict
 *   themselves, or where a file cannot be read.
 */
export function statisticsOf(
  dump: Dump,
  entry: TensorEntry,
  reader: SegmentReader,
  progress: (bytes: number) => void,
): Statistics | null {
  if (entry.encoding === "dense") {
    return isFloatDType(entry.dtype) ? measured(dump, entry, reader, progress) : null;
  }
  return entry.stats === null ? null : checked(dump, entry, entry.stats);
}

/** The statistics of f·x from those of x; exact in `min` and `max`, because rounding keeps order. */
export function timesFactor(statistics: Statistics, factor: number): Statistics {
  if (factor === 1) return statistics;
  const { min, max, mean, rms, posInf, negInf } = statistics;
  const turned = factor < 0;
  return {
    ...statistics,
    min: (turned ? max : min) * factor,
    max: (turned ? min : max) * factor,
    mean: mean * factor,
    rms: rms * Math.abs(factor),
    posInf: turned ? negInf : posInf,
    negInf: turned ? posInf : negInf,
  };
}

function checked(dump: Dump, entry: TensorEntry, stats: TensorStats): Statistics {
  const { min, max, mean, rms, nan, posInf, negInf } = stats;
  const finite = entry.elements - nan - posInf - negInf;
  const precision = stats.precision ?? STATISTICS_PRECISION;
  const fail = (found: string, expected: string): NpuDiffError =>
    new NpuDiffError("dump-corrupt", {
      what: `${dump.file}: the statistics of ${entry.name} of sample ${String(entry.sample)} contradict themselves`,
      facts: [
        { label: "found", text: found },
        { label: "expected", text: expected },
      ],
      help: "capture the dump again",
    });
  if (finite < 0) {
    throw fail(
      `${String(nan)} NaN, ${String(posInf + negInf)} infinite`,
      `at most ${String(entry.elements)} elements`,
    );
  }
  if (finite === 0) return { ...stats, min: NaN, max: NaN, mean: NaN, rms: NaN, finite, precision };
  const shown = `min ${String(min)}, max ${String(max)}, mean ${String(mean)}, rms ${String(rms)}`;
  const slack = precision * rms;
  const largest = Math.max(Math.abs(min), Math.abs(max));
  // Written so that a NaN is no order.
  const ordered =
    Number.isFinite(largest) &&
    Number.isFinite(rms) &&
    min - slack <= mean &&
    mean <= max + slack &&
    Math.abs(mean) <= rms + slack &&
    rms <= largest + slack;
  if (!ordered) throw fail(shown, "finite, min ≤ mean ≤ max and |mean| ≤ rms ≤ max(|min|, |max|)");
  return { ...stats, finite, precision };
}

/** Sums run plainly over at most this many elements before they are compensated. */
const BLOCK_ELEMENTS = 256;

function measured(
  dump: Dump,
  entry: TensorEntry,
  reader: SegmentReader,
  progress: (bytes: number) => void,
): Statistics {
  const { dtype } = entry;
  if (!isFloatDType(dtype)) throw new RangeError(`${dtype} is no float dtype`);
  const { rows, width } = extentOf(entry.shape);
  const sum = new ScaledSum();
  const squares = new ScaledSum();
  let [finite, nan, posInf, negInf] = [0, 0, 0, 0];
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const source = { dump, entry: { ...entry, dtype }, factor: 1 };
  reader.walk([source], rows, width, ({ values: [values], bytes }) => {
    if (values === undefined) return;
    let largest = 0;
    for (const value of values) {
      if (Number.isNaN(value)) nan += 1;
      else if (value === Number.POSITIVE_INFINITY) posInf += 1;
      else if (value === Number.NEGATIVE_INFINITY) negInf += 1;
      else {
        finite += 1;
        if (value < min) min = value;
        if (value > max) max = value;
        largest = Math.max(largest, Math.abs(value));
      }
    }
    addScaled(values, exponentOf(largest), sum, squares);
    progress(bytes.reduce((total, { byteLength }) => total + byteLength, 0));
  });
  const counts = { finite, nan, posInf, negInf, precision: STATISTICS_PRECISION };
  if (finite === 0) return { ...counts, min: NaN, max: NaN, mean: NaN, rms: NaN };
  return { ...counts, min, max, mean: sum.mean(finite), rms: squares.rootMean(finite) };
}

/** Adds the finite of `values`, divided by 2^exponent so that their squares stay in range. */
function addScaled(
  values: Float64Array,
  exponent: number,
  sum: ScaledSum,
  squares: ScaledSum,
): void {
  const shrink = 2 ** -exponent;
  for (let start = 0; start < values.length; start += BLOCK_ELEMENTS) {
    const end = Math.min(values.length, start + BLOCK_ELEMENTS);
    let blockSum = 0;
    let blockSquares = 0;
    for (let i = start; i < end; i += 1) {
      const value = (values[i] as number) * shrink;
      if (!Number.isFinite(value)) continue;
      blockSum += value;
      blockSquares += value * value;
    }
    sum.add(blockSum, exponent);
    squares.add(blockSquares, 2 * exponent);
  }
}

/** The exponent that brings `largest` near 1 where its square would leave the range of float64, else 0. */
function exponentOf(largest: number): number {
  if (largest === 0 || (largest > 1e-140 && largest < 1e140)) return 0;
  return Math.max(-1000, Math.min(1000, Math.floor(Math.log2(largest))));
}
