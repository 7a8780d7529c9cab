/** What is known of a row once all its blocks have been added. */

import { clearRow, COUNT, D, DD, increment, MAX, plus, ROW, XD, XX, XY, YY } from "./state";

/** Beyond this difference of the norms, the form with ‖d‖² loses more digits than 1 − ⟨x,y⟩/(‖x‖‖y‖) does. */
const NEAR_NORMS: f64 = 0.25;

/** Of each row: ρ (NaN where no pair is finite), cosine distance, Σx², Σxd, max |d|, Σd, Σd², count. */
export function endRow(state: usize, record: usize): void {
  const row = state + ROW;
  const count = load<f64>(row + COUNT);
  const xx = load<f64>(row + XX) + load<f64>(row + XX, 8);
  const yy = load<f64>(row + YY) + load<f64>(row + YY, 8);
  const xy = load<f64>(row + XY) + load<f64>(row + XY, 8);
  const dd = load<f64>(row + DD) + load<f64>(row + DD, 8);
  const xd = load<f64>(row + XD) + load<f64>(row + XD, 8);
  let rho: f64;
  let distance: f64;
  if (count == 0) {
    rho = NaN;
    distance = NaN;
  } else if (xx == 0) {
    rho = dd == 0 ? 0 : Infinity;
    distance = yy == 0 ? 0 : 1;
  } else {
    rho = sqrt(dd / xx);
    if (yy == 0) {
      distance = 1;
    } else {
      const normRatio = sqrt(yy / xx);
      if (abs(normRatio - 1) < NEAR_NORMS) {
        const energy = dd / xx;
        // ‖y‖² − ‖x‖² = 2⟨x,d⟩ + ‖d‖², without the cancellation.
        const normDifference = (2 * (xd / xx) + energy) / (normRatio + 1);
        distance = (energy - normDifference * normDifference) / (2 * normRatio);
      } else {
        distance = 1 - xy / (sqrt(xx) * sqrt(yy));
      }
      distance = min(2.0, max(0.0, distance));
    }
  }
  store<f64>(record, rho);
  store<f64>(record, distance, 8);
  store<f64>(record, xx, 16);
  store<f64>(record, xd, 24);
  store<f64>(record, load<f64>(row + MAX), 32);
  store<f64>(record, load<f64>(row + D) + load<f64>(row + D, 8), 40);
  store<f64>(record, dd, 48);
  store<f64>(record, count, 56);
  if (count == 0) return;
  for (let at: usize = 0; at < COUNT; at += 16) {
    plus(state + at, load<f64>(row + at));
    store<f64>(state + at, load<f64>(state + at, 8) + load<f64>(row + at, 8), 8);
  }
  increment(state + COUNT, count);
  clearRow(row);
}
