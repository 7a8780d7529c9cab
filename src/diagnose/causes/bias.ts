import type { Cause } from "./cause.ts";

/** Share of the error beyond the floor's in one vector that every row has: at most 0.89 where an attention sink makes one. */
const LEAST_SHARE = 0.92;

/** Rows that such a vector is the mean of: n rows of chance share 1/n of their energy. */
const LEAST_ROWS = 8;

/** Every row has the same vector added to it. */
export const bias: Cause = {
  id: "cause/bias",
  find(features) {
    const { rows, width } = features.specimen;
    if (!features.isBroad || rows < LEAST_ROWS) return null;
    // In the tensor's own unit: the vector does not grow with the row.
    const means = new Float64Array(width);
    let [weight, total] = [0, 0];
    const norms = features.weights.map((value) => (value === 0 ? 0 : 1 / value));
    features.each((row, column, _x, error) => {
      const own = (norms[row] as number) * error;
      means[column] = (means[column] as number) + (features.weights[row] as number) ** 2 * own;
      total += error * error;
    });
    for (const value of features.weights) weight += value * value;
    const shared = means.reduce((sum, mean) => sum + mean * mean, 0) / weight;
    const share = (shared / total - 1 / rows) / features.excess;
    return share > LEAST_SHARE
      ? { confidence: Math.min(0.95, share), detail: { share: Math.min(1, share) } }
      : null;
  },
};
