import { quantileOf } from "../../core/distribution.ts";
import type { Cause } from "./cause.ts";
import type { Features } from "./features.ts";

/** Share of the error beyond the floor's that a gain must explain, as a correlation (method study). */
const LEAST_RHO = 0.85;

/** A gain far from 1 must explain nearly all of it: other errors shrink an output too. */
const LARGE = 0.6;
const LARGE_RHO = 0.98;

/** What the gain leaves over, over the floor's error: a scaled output is otherwise as a correct engine's. */
const LEAVES = 1.6;

/** The median channel's own gain over that of the whole: one massive channel alone does not scale a tensor. */
const ALIKE = [0.5, 1.5] as const;

/** Fewer rows have no gain a channel. */
const LEAST_ROWS = 4;

/** The whole output is 1 + a times what it should be. */
export const scale: Cause = {
  id: "cause/scale",
  find(features) {
    const { gain, excess, median, floorMedian } = features;
    const { a, rho } = gain;
    if (!features.isBroad) return null;
    const explained = Math.min(1, Math.abs(rho) / Math.sqrt(excess));
    if (Math.abs(a) < LARGE ? explained <= LEAST_RHO : Math.abs(rho) <= LARGE_RHO) return null;
    const left = median * Math.sqrt(Math.max(0, 1 - rho * rho));
    if (left > LEAVES * floorMedian * Math.max(1, 1 + a)) return null;
    const ratio = medianGain(features) / a;
    if (features.specimen.rows >= LEAST_ROWS && !(ratio > ALIKE[0] && ratio < ALIKE[1])) {
      return null;
    }
    return {
      confidence: Math.abs(a) < LARGE ? explained - 0.02 : Math.abs(rho) - 0.02,
      detail: { gain: 1 + a, explained: explained * explained },
    };
  },
};

/** The median over the channels of a_j, x_j ≈ (1 + a_j)·r_j. */
function medianGain(features: Features): number {
  const { width } = features.specimen;
  const products = new Float64Array(width);
  const sizes = new Float64Array(width);
  features.each((_row, column, x, error) => {
    products[column] = (products[column] as number) + x * error;
    sizes[column] = (sizes[column] as number) + x * x;
  });
  const gains = products.map((product, column) => product / (sizes[column] as number) || 0);
  // The distribution holds no negative numbers: those below and above zero change places.
  const above = quantileOf(
    gains.map((value) => Math.max(value, 0)),
    0.5,
  );
  return above > 0
    ? above
    : -quantileOf(
        gains.map((value) => Math.max(-value, 0)),
        0.5,
      );
}
