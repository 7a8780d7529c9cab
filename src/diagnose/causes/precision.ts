import { quantileOf } from "../../core/distribution.ts";
import type { Cause } from "./cause.ts";
import type { Features } from "./features.ts";

/*
 * Measured on SmolLM2-135M in bf16 and on tiny models of six architectures in
 * bf16, fp16 and fp32: int8, int4 and fp8 weights, int8 activations, products in
 * bf16, TF32 and HF32, beside wrong rotary bases, attention scales, masks,
 * windows, activations, norm weights, heads. What is rounded errs in directions
 * that r does not prefer, alike in all tokens; what computes another formula errs
 * where r lies, or in some tokens more than in others.
 */

/** A coarser format errs less than this: int4 weights 0.08–0.12, other formulas up to 1 and more. */
const MOST_ERROR = 0.2;

/**
 * Alignment with r's own directions and, counted more, the share that a gain a
 * row explains: 0.04–0.58 where numbers are rounded, 0.6 and more elsewhere.
 */
const MOST_LIKENESS = 0.6;
const OF_ROW_GAIN = 1.5;

/** Share in one direction: quantised weights up to 0.35, a head that is missing 0.37. */
const MOST_FIRST = 0.36;

/** Correlation with r of all rows together: what is rounded keeps its size. */
const MOST_RHO = 0.3;

/** 90th over 10th percentile of ρ: rounded numbers 1.1–2.1, masks and windows 7 and more. */
const MOST_SPREAD = 2.1;

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
    const { errors } = specimen;
    if (quantileOf(errors, 0.9) > MOST_SPREAD * quantileOf(errors, 0.1)) return null;
    const { spectrum } = features;
    if (spectrum === null) return null;
    const likeness = spectrum.alignment + (OF_ROW_GAIN * rowGain(features)) / excess;
    if (likeness > MOST_LIKENESS || spectrum.first > MOST_FIRST) return null;
    return {
      confidence: 0.6,
      detail: { median, times: median / floorMedian, likeness },
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
