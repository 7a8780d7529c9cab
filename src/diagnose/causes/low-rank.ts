import type { Cause } from "./cause.ts";

/** Share of the error in one direction: 0.98 where one input channel is dead, at most 0.41 in errors of attention and activation. */
const LEAST_SHARE = 0.8;

/** The same of all the error, the floor's included: where that is little, the share of the rest is chance. */
const LEAST_OF_ALL = 0.55;

/** Rows and columns below which one direction always holds much. */
const LEAST_ROWS = 16;
const LEAST_COLUMNS = 16;

/** The error of all rows points in one direction, in amounts that vary from row to row. */
export const lowRank: Cause = {
  id: "cause/low-rank",
  find(features) {
    const { rows, width } = features.specimen;
    if (rows < LEAST_ROWS || width < LEAST_COLUMNS) return null;
    if (!features.isBroad) return null;
    const first = features.spectrum?.first ?? 0;
    const share = first / features.excess;
    return first > LEAST_OF_ALL && share > LEAST_SHARE
      ? { confidence: 0.85, detail: { share: Math.min(1, share) } }
      : null;
  },
};
