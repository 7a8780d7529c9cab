/** What is done with a block of pairs beside its plain sums: where its maximum is, what is not finite, what is saturated. */

import { load1, sizeOf } from "./formats";
import {
  ABS_D,
  COUNT,
  D,
  DD,
  increment,
  LARGEST,
  MAX,
  MAX_COLUMN,
  MAX_ROW,
  MAX_X,
  MAX_Y,
  MISMATCH_COLUMN,
  MISMATCH_ROW,
  MISMATCH_X,
  MISMATCH_Y,
  MISMATCHED,
  NAN_X,
  NAN_Y,
  plus,
  ROW,
  SATURATED,
  SATURATION_DISTANCE,
  XD,
  XX,
  XY,
  YY,
} from "./state";

/** Adds what came of a block to the row under way. */
export function addTo(
  row: usize,
  xx: f64,
  yy: f64,
  xy: f64,
  dd: f64,
  xd: f64,
  d: f64,
  absD: f64,
  count: f64,
): void {
  if (load<f64>(row + COUNT) == 0) {
    // Nearly every row has one block: what is first needs no compensation.
    store<f64>(row + XX, xx);
    store<f64>(row + YY, yy);
    store<f64>(row + XY, xy);
    store<f64>(row + DD, dd);
    store<f64>(row + XD, xd);
    store<f64>(row + D, d);
    store<f64>(row + ABS_D, absD);
  } else {
    plus(row + XX, xx);
    plus(row + YY, yy);
    plus(row + XY, xy);
    plus(row + DD, dd);
    plus(row + XD, xd);
    plus(row + D, d);
    plus(row + ABS_D, absD);
  }
  increment(row + COUNT, count);
}

/** Notes where max |d| = `size` of a block is first reached. */
export function locate<X, Y>(
  x: usize,
  y: usize,
  n: i32,
  column: f64,
  row: i32,
  state: usize,
  size: f64,
): void {
  for (let i = 0; i < n; i++) {
    const a = load1<X>(x + (<usize>i) * sizeOf<X>());
    const b = load1<Y>(y + (<usize>i) * sizeOf<Y>());
    if (abs(b - a) != size) continue;
    store<f64>(state + MAX, size);
    store<f64>(state + MAX_ROW, <f64>row);
    store<f64>(state + MAX_COLUMN, column + <f64>i);
    store<f64>(state + MAX_X, a);
    store<f64>(state + MAX_Y, b);
    return;
  }
}

/** Counts the y that sit at the largest value of their dtype where x is another finite value. */
export function countSaturated<X, Y>(x: usize, y: usize, n: i32, state: usize): void {
  const largest = load<f64>(state + LARGEST);
  const distance = load<f64>(state + SATURATION_DISTANCE);
  for (let i = 0; i < n; i++) {
    const b = load1<Y>(y + (<usize>i) * sizeOf<Y>());
    if (abs(b) != largest) continue;
    const a = load1<X>(x + (<usize>i) * sizeOf<X>());
    if (isFinite(a) && abs(b - a) > distance) increment(state + SATURATED);
  }
}

/** 0 for a finite value; 1, 2, 3 for NaN, +∞, −∞. */
function kindOf(value: f64): i32 {
  if (isNaN(value)) return 1;
  return value == Infinity ? 2 : value == -Infinity ? 3 : 0;
}

/** A block of which not every value is finite: pairs that are not are counted and left out of the sums. */
export function addCarefully<X, Y>(
  x: usize,
  y: usize,
  n: i32,
  column: f64,
  row: i32,
  state: usize,
): void {
  let xx: f64 = 0;
  let yy: f64 = 0;
  let xy: f64 = 0;
  let dd: f64 = 0;
  let xd: f64 = 0;
  let sumD: f64 = 0;
  let absD: f64 = 0;
  let maxD: f64 = -1;
  let count = 0;
  let saturated = false;
  const largest = load<f64>(state + LARGEST);
  for (let i = 0; i < n; i++) {
    const a = load1<X>(x + (<usize>i) * sizeOf<X>());
    const b = load1<Y>(y + (<usize>i) * sizeOf<Y>());
    const ofX = kindOf(a);
    const ofY = kindOf(b);
    if (ofX != 0) increment(state + NAN_X + (<usize>(ofX - 1)) * 8);
    if (ofY != 0) increment(state + NAN_Y + (<usize>(ofY - 1)) * 8);
    if (ofX != ofY) {
      if (load<f64>(state + MISMATCHED) == 0) {
        store<f64>(state + MISMATCH_ROW, <f64>row);
        store<f64>(state + MISMATCH_COLUMN, column + <f64>i);
        store<f64>(state + MISMATCH_X, a);
        store<f64>(state + MISMATCH_Y, b);
      }
      increment(state + MISMATCHED);
    }
    if (ofX != 0 || ofY != 0) continue;
    const d = b - a;
    xx += a * a;
    yy += b * b;
    xy += a * b;
    dd += d * d;
    xd += a * d;
    sumD += d;
    absD += abs(d);
    maxD = max(maxD, abs(d));
    if (abs(b) >= largest) saturated = true;
    count++;
  }
  if (count == 0) return;
  if (saturated) countSaturated<X, Y>(x, y, n, state);
  addTo(state + ROW, xx, yy, xy, dd, xd, sumD, absD, <f64>count);
  if (maxD > load<f64>(state + ROW + MAX)) store<f64>(state + ROW + MAX, maxD);
  if (maxD > load<f64>(state + MAX)) locate<X, Y>(x, y, n, column, row, state, maxD);
}
