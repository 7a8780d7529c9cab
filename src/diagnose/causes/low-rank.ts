import type { Cause } from "./cause.ts";

/** Share of the error in one direction: 0.98 where one input channel is dead, at most 0.41 in errors of attention and activation. */
const LEAST_SHARE = 0.8;

/** The same of four directions: 0.99 where as many input channels are dead, at most 0.82 elsewhere. */
const LEAST_OF_FOUR = 0.95;

/** The same of all the error, the floor's included: where that is little, the share of the rest is chance. */
const LEAST_OF_ALL = 0.55;

/** Rows and columns below which few directions always hold much. */
const LEAST_ROWS = 24;
const LEAST_COLUMNS = 24;

/** The error of all rows points in one direction, or a few, in amounts that vary from row to row. */
export const lowRank: Cause = {
  id: "cause/low-rank",
  find(features) {
    const { rows, width } = features.specimen;
    const { spectrum, excess, isBroad } = features;
    if (!isBroad || rows < LEAST_ROWS || width < LEAST_COLUMNS || spectrum === null) return null;
    const one = spectrum.first / excess;
    if (spectrum.first > LEAST_OF_ALL && one > LEAST_SHARE) {
      return { confidence: 0.85, detail: { share: Math.min(1, one), directions: 1 } };
    }
    const four = spectrum.firstFour / excess;
    if (spectrum.firstFour > LEAST_OF_ALL && four > LEAST_OF_FOUR) {
      return { confidence: 0.75, detail: { share: Math.min(1, four), directions: 4 } };
    }
    return null;
  },
};
