import type { Cause } from "./cause.ts";
import { cosine, type Features } from "./features.ts";

const LAGS = [1, -1, 2, -2] as const;

/** Rows whose error is smaller look like any other row's. */
const LEAST_ERROR = 0.1;

/** Rows that are needed: of fewer, a likeness is chance. */
const LEAST_ROWS = 8;

/** Mean cosine with the neighbour's row, and how far it lies above that with the own one (method study). */
const COSINE = 0.9;
const BETTER = 0.02;

/** Share of the rows that are nearer to the neighbour's. */
const MOST_ROWS = 0.8;

/** Row t holds what belongs to row t − s. */
export const shift: Cause = {
  id: "cause/shift",
  find(features) {
    for (const lag of LAGS) {
      const { rows, mean, own, nearer } = likeness(features, lag);
      if (rows < LEAST_ROWS || mean <= COSINE || mean <= own + BETTER) continue;
      if (nearer < MOST_ROWS * rows) continue;
      return { confidence: 0.95, detail: { lag, cosine: mean, own, rows } };
    }
    return null;
  },
};

/** Mean cosines of the rows of large errors with r of `lag` rows before, and with their own. */
function likeness(
  features: Features,
  lag: number,
): { readonly rows: number; readonly mean: number; readonly own: number; readonly nearer: number } {
  let [rows, mean, own, nearer] = [0, 0, 0, 0];
  for (let row = 0; row < features.specimen.rows; row += 1) {
    const other = features.neighbour(row, lag);
    if (other === null) continue;
    const x = features.rowOf("x", row);
    const ofOwn = cosine(x, features.rowOf("r", row));
    // Of two rows of one direction and size, ρ is at least √(1 − cos²).
    if (Math.sqrt(Math.max(0, 1 - ofOwn * ofOwn)) < LEAST_ERROR) continue;
    const ofOther = cosine(x, features.rowOf("r", other));
    rows += 1;
    mean += ofOther;
    own += ofOwn;
    if (ofOther > ofOwn) nearer += 1;
  }
  return { rows, mean: mean / rows, own: own / rows, nearer };
}
