/** Statistics as msprobe writes them: Max, Min, Mean and Norm (L2) of a tensor. */

import { DTYPES, type FloatDType } from "../../core/dtype.ts";
import type { TensorStats } from "../dump.ts";
import type { JsonObject } from "../json.ts";

/** Statistics, and what was assumed for them; or why there are none. */
export type Told =
  | { readonly stats: TensorStats; readonly assumed?: string }
  | { readonly why: string };

/** Unit roundoff of float32, in which sums are assumed to run at least. */
const SUM_ROUNDING = 2 ** -24;

/**
 * Reads the statistics of a tensor of `elements` elements.
 *
 * Mean and norm were rounded to the tensor's own dtype, and summed in an order that nobody knows: they are taken to be
 * off by as much as that can be, n·2⁻²⁴ for n elements in float32 and one rounding. A maximum or
 * minimum is an element, and exact. How many elements are not finite is not told: all of
 * them are taken to be.
 */
export function statisticsOf(leaf: JsonObject, elements: number, dtype: FloatDType): Told {
  const [max, min, mean, norm] = ["Max", "Min", "Mean", "Norm"].map((key) => numberOf(leaf[key]));
  if (elements === 0) return { why: "an empty tensor" };
  if (max === undefined || min === undefined) return { why: "no statistics" };
  if (Number.isNaN(max) || Number.isNaN(min)) {
    return {
      stats: { ...NONE, nan: elements, posInf: 0, negInf: 0 },
      assumed: "holds NaN; msprobe does not say how many, so all elements count as NaN",
    };
  }
  if (!Number.isFinite(max) || !Number.isFinite(min)) {
    const posInf = max === Number.POSITIVE_INFINITY ? 1 : 0;
    const negInf = min === Number.NEGATIVE_INFINITY ? 1 : 0;
    const rest = elements - posInf - negInf;
    const counts =
      posInf > 0 ? { posInf: posInf + rest, negInf } : { posInf, negInf: negInf + rest };
    return {
      stats: { ...NONE, nan: 0, ...counts },
      assumed: "holds infinities; msprobe does not say how many, so all elements count as infinite",
    };
  }
  if (mean === undefined || norm === undefined)
    return { why: "no mean or norm among its statistics" };
  if (!Number.isFinite(mean) || !Number.isFinite(norm)) {
    return { why: `the mean or the norm overflowed ${dtype}` };
  }
  // One unit in the last place at 1 is four times `u`; one rounding half of it.
  const precision = Math.min(1, 2 * DTYPES[dtype].u + elements * SUM_ROUNDING);
  const rms = norm / Math.sqrt(elements);
  const slack = precision * rms;
  const largest = Math.max(Math.abs(min), Math.abs(max));
  const agree =
    Math.abs(mean) <= rms + slack &&
    min - slack <= mean &&
    mean <= max + slack &&
    rms <= largest + slack &&
    largest <= (rms + slack) * Math.sqrt(elements);
  // Squares of small numbers vanish, and so does the norm.
  if (!agree) return { why: "its mean and norm do not agree with its maximum and minimum" };
  return { stats: { min, max, mean, rms, nan: 0, posInf: 0, negInf: 0, precision } };
}

const NONE = { min: NaN, max: NaN, mean: NaN, rms: NaN };

/** A number as Python's JSON has it: what is not finite is a word. */
function numberOf(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  if (value === "NaN" || value === "Infinity" || value === "-Infinity") return Number(value);
  return undefined;
}
