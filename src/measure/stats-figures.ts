/**
 * What the statistics of two tensors say of their difference: bounds that hold
 * whatever the elements are. They can prove an error, never its absence.
 */

import type { Pair, Unit } from "../align/align.ts";
import { residualFactors } from "../align/residual.ts";
import type { SideStatistics, StatsBounds, StatsFigures } from "../core/stats-figures.ts";
import type { Sides } from "./measure-tensor.ts";
import { saturationOf } from "./plan.ts";
import type { SegmentReader } from "./segments.ts";
import { type Statistics, statisticsOf, timesFactor } from "./tensor-statistics.ts";

/** {@link StatsFigures}, and what only the judge asks for. */
export interface StatsMeasurement {
  readonly figures: StatsFigures;
  /** Whether some element must differ in its value: an extreme or a count does. */
  readonly differs: boolean;
  /** Whether all elements of both sides are finite. */
  readonly allFinite: boolean;
  /** Whether the candidate stays below its dtype's largest value. */
  readonly belowLargest: boolean;
  /** Whether some row is zero in the reference and not in the candidate. */
  readonly infiniteRow: boolean;
}

/**
 * Measures `unit`, whose shapes agree, by the statistics of its tensors: those
 * in the file, or those of dense data.
 *
 * @returns null where a tensor has neither.
 * @throws NpuDiffError `dump-corrupt` where statistics contradict themselves,
 *   or where a file cannot be read.
 */
export function measureStatistics(
  unit: Unit,
  { reference, candidate }: Pick<Sides, "reference" | "candidate">,
  reader: SegmentReader,
  progress: (bytes: number) => void,
): StatsMeasurement | null {
  const [ofReference = 1, ofCandidate = 1] = residualFactors(
    [reference.run, candidate.run],
    unit.role,
    unit.layer,
  );
  const pairs: StatisticsPair[] = [];
  let differs = false;
  for (const pair of unit.pairs) {
    const x = statisticsOf(reference, pair.reference, reader, progress);
    const y = statisticsOf(candidate, pair.candidate, reader, progress);
    if (x === null || y === null) return null;
    differs ||= leastMismatched(x, y) > 0 || !same(x.min, y.min) || !same(x.max, y.max);
    pairs.push({ pair, x: timesFactor(x, ofReference), y: timesFactor(y, ofCandidate) });
  }
  const sides = { x: pooled(pairs.map(({ x }) => x)), y: pooled(pairs.map(({ y }) => y)) };
  const difference = (of: "min" | "max" | "mean" | "rms"): number => sides.y[of] - sides.x[of];
  return {
    figures: {
      reference: shown(sides.x),
      candidate: shown(sides.y),
      difference: {
        min: difference("min"),
        max: difference("max"),
        mean: difference("mean"),
        rms: difference("rms"),
      },
      normRatio: norm(sides.y) / norm(sides.x),
      mismatched: pairs.reduce((sum, { x, y }) => sum + leastMismatched(x, y), 0),
      saturated: pairs.filter(isSaturated).length,
      bounds: boundsOf(pairs),
    },
    differs,
    allFinite: pairs.every(({ pair, x, y }) => {
      const { elements } = pair.reference;
      return x.finite === elements && y.finite === elements;
    }),
    belowLargest: pairs.every(({ pair, y }) => {
      const { maxFinite } = saturationOf(pair.candidate.dtype);
      return y.finite === 0 || (y.max < maxFinite && y.min > -maxFinite);
    }),
    infiniteRow: pairs.some(({ x, y }) => isZero(x) && y.finite > 0 && !isZero(y)),
  };
}

interface StatisticsPair {
  readonly pair: Pair;
  readonly x: Statistics;
  readonly y: Statistics;
}

/** Equal, or both NaN because nothing is finite. */
function same(a: number, b: number): boolean {
  return a === b || (Number.isNaN(a) && Number.isNaN(b));
}

function isZero({ min, max }: Statistics): boolean {
  return min === 0 && max === 0;
}

function shown({ min, max, mean, rms, nan, posInf, negInf }: Statistics): SideStatistics {
  return { min, max, mean, rms, nan, posInf, negInf };
}

/** The statistics of several tensors together. */
function pooled(parts: readonly Statistics[]): Statistics {
  const total = (of: "finite" | "nan" | "posInf" | "negInf"): number =>
    parts.reduce((sum, part) => sum + part[of], 0);
  const counts = {
    finite: total("finite"),
    nan: total("nan"),
    posInf: total("posInf"),
    negInf: total("negInf"),
    precision: parts.reduce((most, { precision }) => Math.max(most, precision), 0),
  };
  const { finite } = counts;
  const used = parts.filter((part) => part.finite > 0);
  if (finite === 0) return { ...counts, min: NaN, max: NaN, mean: NaN, rms: NaN };
  return {
    ...counts,
    min: used.reduce((least, { min }) => Math.min(least, min), Number.POSITIVE_INFINITY),
    max: used.reduce((most, { max }) => Math.max(most, max), Number.NEGATIVE_INFINITY),
    mean: used.reduce((sum, part) => sum + part.mean * (part.finite / finite), 0),
    rms: rootOfSquares(used.map((part) => part.rms * Math.sqrt(part.finite / finite))),
  };
}

/** √(Σ v²) of squares that neither overflow nor vanish. */
function rootOfSquares(values: readonly number[]): number {
  const largest = values.reduce((most, value) => Math.max(most, value), 0);
  if (largest === 0) return 0;
  return largest * Math.sqrt(values.reduce((sum, value) => sum + (value / largest) ** 2, 0));
}

/** ‖x‖ over the finite values. */
function norm({ finite, rms }: Statistics): number {
  return finite === 0 ? 0 : rms * Math.sqrt(finite);
}

/**
 * Positions that differ in kind, at least: n − Σ_kind min(count_x, count_y).
 * Each position of one kind on both sides uses up one of that kind's count on
 * either side, so there are at most min(count_x, count_y) of them.
 */
function leastMismatched(x: Statistics, y: Statistics): number {
  return (["finite", "nan", "posInf", "negInf"] as const).reduce(
    (sum, kind) => sum + Math.max(0, x[kind] - y[kind]),
    0,
  );
}

/**
 * Whether some position is saturated: where the candidate's extreme is its
 * dtype's largest value M, the reference has at most its own extreme there,
 * which lies more than the allowed distance away (or is not finite, and then
 * the two differ in kind).
 */
function isSaturated({ pair, x, y }: StatisticsPair): boolean {
  const { maxFinite, saturationDistance } = saturationOf(pair.candidate.dtype);
  return (
    (y.max === maxFinite && maxFinite - x.max > saturationDistance) ||
    (y.min === -maxFinite && x.min + maxFinite > saturationDistance)
  );
}

/**
 * Bounds of ‖d‖, max |d| and ⟨x, y⟩ for d = y − x over the m finite values of
 * every tensor.
 *
 * They suppose that the same positions are finite on both sides. Where the
 * counts of some kind differ that is false, and nothing follows: null. Where
 * the counts agree and the positions do not, two values differ in kind, which
 * fails the tensor by itself: a bound beyond a limit means a failure either way.
 */
function boundsOf(pairs: readonly StatisticsPair[]): StatsBounds | null {
  if (pairs.some(({ x, y }) => leastMismatched(x, y) > 0)) return null;
  const used = pairs.filter(({ x }) => x.finite > 0);
  const finite = used.reduce((sum, { x }) => sum + x.finite, 0);
  if (finite === 0) return null;
  const parts = used.map(({ x, y }) => {
    const { rms, maxAbs } = leastDifference(x, y);
    return { x, y, maxAbs, rms, share: x.finite / finite };
  });
  const root = (of: (part: (typeof parts)[number]) => number): number =>
    rootOfSquares(parts.map((part) => of(part) * Math.sqrt(part.share)));
  const [x, y, d] = [
    root((part) => part.x.rms),
    root((part) => part.y.rms),
    root(({ rms }) => rms),
  ];
  const precision = used.reduce((most, pair) => Math.max(most, precisionOf(pair)), 0);
  const atLeast = (value: number): number => value * Math.max(0, 1 - 4 * precision);
  return {
    relL2: atLeast(quotient(d, x)),
    // ‖d‖² = Σ_t ρ_t²‖x_t‖² ≤ (max ρ)²‖x‖² in each tensor.
    tokenRelL2Max: atLeast(
      parts.reduce((most, part) => Math.max(most, quotient(part.rms, part.x.rms)), 0),
    ),
    maxAbs: parts.reduce((most, part) => Math.max(most, part.maxAbs), 0),
    mse: atLeast(d * d),
    cosine: mostCosine(parts, x, y, precision),
  };
}

/** By how much the means and root mean squares of either side may be off. */
function precisionOf({ x, y }: Pick<StatisticsPair, "x" | "y">): number {
  return Math.max(x.precision, y.precision);
}

function quotient(d: number, x: number): number {
  return d === 0 ? 0 : d / x;
}

/**
 * Root mean square and largest absolute value of d, at least.
 *
 * - Let x be largest at i. If max x ≥ max y then x_i − y_i ≥ max x − max y;
 *   else the same with the sides exchanged. Hence max |d| ≥ |max x − max y|,
 *   and likewise for the smallest values.
 * - rms(d) ≥ |rms x − rms y|, the triangle inequality for ‖·‖/√m.
 * - d − d̄ = (y − ȳ) − (x − x̄) is orthogonal to the constant d̄ = ȳ − x̄, so
 *   rms(d)² = (ȳ − x̄)² + rms(d − d̄)² ≥ (ȳ − x̄)² + (σ_y − σ_x)², by the
 *   triangle inequality again; σ² = rms² − mean².
 * - max |d| ≥ rms(d) ≥ max |d| / √m.
 */
function leastDifference(
  x: Statistics,
  y: Statistics,
): { readonly rms: number; readonly maxAbs: number } {
  const extremes = Math.max(Math.abs(x.max - y.max), Math.abs(x.min - y.min));
  const slack = x.precision * x.rms + y.precision * y.rms;
  const [ofX, ofY] = [deviation(x), deviation(y)];
  const means = Math.max(0, Math.abs(y.mean - x.mean) - slack);
  const deviations = Math.max(0, ofX.least - ofY.most, ofY.least - ofX.most);
  const norms = Math.max(0, Math.abs(y.rms - x.rms) - slack);
  const rms = Math.max(norms, Math.hypot(means, deviations), extremes / Math.sqrt(x.finite));
  return { rms, maxAbs: Math.max(extremes, rms) };
}

/** σ = √(rms² − mean²), with what the rounding of both may hide: (mean/rms)² is off by 4 times their precision at most, rms² by twice. */
function deviation({ mean, rms, precision }: Statistics): {
  readonly least: number;
  readonly most: number;
} {
  if (rms === 0) return { least: 0, most: 0 };
  const q = mean / rms;
  const square = (1 - q) * (1 + q);
  const slack = 8 * precision;
  return {
    least: rms * Math.sqrt(Math.max(0, square - slack)),
    most: rms * Math.sqrt(Math.max(0, square) + slack),
  };
}

/**
 * The cosine, at most: ⟨x, y⟩ = m(x̄ȳ + cov(x, y)) ≤ m(x̄ȳ + σ_xσ_y) in each
 * tensor, over ‖x‖‖y‖ of all. As in the figures of dense data, two zero sides
 * have the cosine 1 and a single one 0.
 */
function mostCosine(
  parts: readonly { readonly x: Statistics; readonly y: Statistics; readonly share: number }[],
  x: number,
  y: number,
  precision: number,
): number {
  if (x === 0 || y === 0) return x === y ? 1 : 0;
  const sum = parts.reduce((total, part) => {
    const weight = (part.x.rms / x) * (part.y.rms / y) * part.share;
    if (weight === 0) return total;
    const product =
      (part.x.mean / part.x.rms) * (part.y.mean / part.y.rms) +
      (deviation(part.x).most / part.x.rms) * (deviation(part.y).most / part.y.rms);
    return total + weight * product;
  }, 0);
  return Math.min(1, sum + 16 * precision);
}
