/** Puts the sums of a job, which came as numbers, to those of the jobs before it. */

import type { NonFiniteCount, PairSums } from "../pair-sums.ts";
import { AT, SUMS } from "./results.ts";

/** Adds what a job found over all its rows, but for where it found it. */
export function addTotals(total: PairSums, numbers: Float64Array): void {
  for (const [i, name] of SUMS.entries()) {
    const exponent = numbers[AT.exponents + i] as number;
    total[name].add(numbers[AT[name]] as number, exponent);
    total[name].add(numbers[AT[name] + 1] as number, exponent);
  }
  total.count += numbers[AT.count] as number;
  total.maxAbs = Math.max(total.maxAbs, numbers[AT.maxAbs] as number);
  addNonFinite(total.reference, numbers, AT.nonFiniteX);
  addNonFinite(total.candidate, numbers, AT.nonFiniteY);
  total.mismatched += numbers[AT.mismatched] as number;
  total.saturated += numbers[AT.saturated] as number;
}

function addNonFinite(to: NonFiniteCount, numbers: Float64Array, at: number): void {
  to.nan += numbers[at] as number;
  to.posInf += numbers[at + 1] as number;
  to.negInf += numbers[at + 2] as number;
}
