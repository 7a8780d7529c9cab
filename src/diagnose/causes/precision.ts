import { quantileOf } from "../../core/distribution.ts";
import type { Cause } from "./cause.ts";
import type { Features } from "./features.ts";

/*
 * Measured on SmolLM2-135M in bf16, layers 2, 14 and 26: int8 and int4 weights
 * beside wrong rotary bases, attention scales, masks, windows, activations, norm
 * weights, heads. What is quantised errs in directions that r does not prefer,
 * alike in all tokens; what computes another formula errs where r lies.
 */

/** A coarser format errs less than this: int4 weights 0.08–0.29. */
const MOST_ERROR = 0.35;

/** `alignment` and `first` of the spectrum: quantised weights 0.04–0.34, other formulas 0.36 and more. */
const MOST_ALIGNMENT = 0.35;
const MOST_FIRST = 0.36;

/** Correlation with r, of all rows together and of each: what is quantised keeps its size. */
const MOST_RHO = 0.35;
const MOST_ROW_GAIN = 0.08;

/** 90th over 10th percentile of ρ: quantised weights 1.1–2.1, masks and windows 7 and more. */
const MOST_SPREAD = 2.2;

/** Rows below which none of this can be told, and columns. */
const LEAST_ROWS = 16;
const LEAST_COLUMNS = 16;

/** A small error without structure: quantised weights, a coarser format, narrow accumulation. */
export const precision: Cause = {
  id: "cause/precision",
  find(features) {
    const { median, gain, excess, floorMedian, specimen } = features;
    if (specimen.rows < LEAST_ROWS || specimen.width < LEAST_COLUMNS) return null;
    if (!(median < MOST_ERROR) || !features.isBroad) return null;
    if (Math.abs(gain.rho) / Math.sqrt(excess) > MOST_RHO) return null;
    if (rowGain(features) / excess > MOST_ROW_GAIN) return null;
    const { errors } = specimen;
    if (quantileOf(errors, 0.9) > MOST_SPREAD * quantileOf(errors, 0.1)) return null;
    const { spectrum } = features;
    if (spectrum === null) return null;
    if (spectrum.alignment > MOST_ALIGNMENT || spectrum.first > MOST_FIRST) return null;
    return {
      confidence: 0.6,
      detail: { median, times: median / floorMedian, alignment: spectrum.alignment },
    };
  },
};

/** Share of the error that a gain of its own for each row explains. */
function rowGain(features: Features): number {
  const { rows } = features.specimen;
  const products = new Float64Array(rows);
  const sizes = new Float64Array(rows);
  features.each((row, _column, x, error) => {
    products[row] = (products[row] as number) + x * error;
    sizes[row] = (sizes[row] as number) + x * x;
  });
  const explained = products.reduce((sum, product, row) => {
    const size = sizes[row] as number;
    return size === 0 ? sum : sum + (product * product) / size;
  }, 0);
  return explained / features.energy;
}
