/**
 * The sums over pairs (x, y) of which every per-tensor figure is made, d = y − x:
 * Σx², Σy², Σxy, Σd², Σxd, Σd, Σ|d|, max |d|, for each row and for all.
 *
 * The loop adds Σx², Σxd, Σd², Σd and Σ|d| of a block plainly and joins blocks by
 * compensated summation. Σxy = Σx² + Σxd and Σy² = Σx² + 2Σxd + Σd² follow from
 * them without loss unless y is smaller than x; then they are added up themselves.
 */

import { F16, F64, high, load1, load4, low, overflow, overflowed, raw4, sizeOf, value4 } from "./formats";
import {
  ABS_D,
  COUNT,
  clearRow,
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
  UNSAFE,
  XD,
  XX,
  XY,
  YY,
} from "./state";

/** Plain sums run over at most so many elements, half of them a lane: their error stays below 2⁻⁴⁴ of Σ|terms|. */
const BLOCK: i32 = 1024;

/** Below this share of Σx², Σy² made of the others would lose a digit. */
const SMALLER: f64 = 0.5;

/** Squares of float64 values whose largest lies within these bounds, and that of their differences, neither overflow nor vanish. */
const LEAST_SAFE: f64 = reinterpret<f64>(0x26f0000000000000); // 2^-400
const MOST_SAFE: f64 = reinterpret<f64>(0x58f0000000000000); // 2^400

/**
 * Adds `rows` rows of `columns` elements, which begin at column `column` of the
 * row. `record` takes what is known of each row that ends here.
 */
export function pairRows<X, Y>(
  x: usize,
  y: usize,
  rows: i32,
  columns: i32,
  column: i32,
  firstRow: i32,
  ends: bool,
  state: usize,
  record: usize,
  stride: usize,
): void {
  for (let row = 0; row < rows; row++) {
    for (let done = 0; done < columns; done += BLOCK) {
      const n = min(BLOCK, columns - done);
      addBlock<X, Y>(x, y, n, column + done, firstRow + row, state);
      x += (<usize>n) * sizeOf<X>();
      y += (<usize>n) * sizeOf<Y>();
    }
    if (ends) {
      endRow(state, record);
      record += stride;
    }
  }
}

function addBlock<X, Y>(x: usize, y: usize, n: i32, column: i32, row: i32, state: usize): void {
  let xx2 = f64x2.splat(0);
  let dd2 = f64x2.splat(0);
  let xd2 = f64x2.splat(0);
  let d2 = f64x2.splat(0);
  let abs2 = f64x2.splat(0);
  let max2 = f64x2.splat(0);
  let x2 = f64x2.splat(0);
  let y2 = f64x2.splat(0);
  let halves = i32x4.splat(0);
  const whole = n & ~3;
  let p = x;
  let q = y;
  for (let i = 0; i < whole; i += 4) {
    let a: v128;
    let b: v128;
    let a4 = f64x2.splat(0);
    let b4 = f64x2.splat(0);
    if (idof<X>() == idof<F64>()) {
      a = v128.load(p);
      b = v128.load(q);
    } else {
      const aRaw = raw4<X>(p);
      const bRaw = raw4<Y>(q);
      halves = overflow<Y>(overflow<X>(halves, aRaw), bRaw);
      a4 = value4<X>(aRaw);
      b4 = value4<Y>(bRaw);
      a = low(a4);
      b = low(b4);
    }
    let d = f64x2.sub(b, a);
    let size = f64x2.abs(d);
    xx2 = f64x2.add(xx2, f64x2.mul(a, a));
    dd2 = f64x2.add(dd2, f64x2.mul(d, d));
    xd2 = f64x2.add(xd2, f64x2.mul(a, d));
    d2 = f64x2.add(d2, d);
    abs2 = f64x2.add(abs2, size);
    max2 = f64x2.pmax(max2, size);
    if (idof<X>() == idof<F64>()) {
      x2 = f64x2.pmax(x2, f64x2.abs(a));
      y2 = f64x2.pmax(y2, f64x2.abs(b));
      a = v128.load(p, 16);
      b = v128.load(q, 16);
      x2 = f64x2.pmax(x2, f64x2.abs(a));
      y2 = f64x2.pmax(y2, f64x2.abs(b));
    } else {
      a = high(a4);
      b = high(b4);
    }
    d = f64x2.sub(b, a);
    size = f64x2.abs(d);
    xx2 = f64x2.add(xx2, f64x2.mul(a, a));
    dd2 = f64x2.add(dd2, f64x2.mul(d, d));
    xd2 = f64x2.add(xd2, f64x2.mul(a, d));
    d2 = f64x2.add(d2, d);
    abs2 = f64x2.add(abs2, size);
    max2 = f64x2.pmax(max2, size);
    p += 4 * sizeOf<X>();
    q += 4 * sizeOf<Y>();
  }
  let xx = sum2(xx2);
  let dd = sum2(dd2);
  let xd = sum2(xd2);
  let sumD = sum2(d2);
  let absD = sum2(abs2);
  let maxD = max(f64x2.extract_lane(max2, 0), f64x2.extract_lane(max2, 1));
  let maxX = max(f64x2.extract_lane(x2, 0), f64x2.extract_lane(x2, 1));
  let maxY = max(f64x2.extract_lane(y2, 0), f64x2.extract_lane(y2, 1));
  for (let i = whole; i < n; i++) {
    const a = load1<X>(p);
    const b = load1<Y>(q);
    const d = b - a;
    xx += a * a;
    dd += d * d;
    xd += a * d;
    sumD += d;
    absD += abs(d);
    maxD = max(maxD, abs(d));
    if (idof<X>() == idof<F64>()) {
      maxX = max(maxX, abs(a));
      maxY = max(maxY, abs(b));
    }
    p += sizeOf<X>();
    q += sizeOf<Y>();
  }
  // d is NaN or infinite wherever x or y is, so its sum tells of both.
  let finite = absD < Infinity;
  if (idof<X>() == idof<F16>() || idof<Y>() == idof<F16>()) finite = finite && !overflowed(halves);
  if (idof<X>() == idof<F64>()) {
    if (!finite || !safe(maxX) || !safe(maxY) || !safe(maxD)) {
      store<f64>(state + UNSAFE, 1);
      return;
    }
  }
  if (!finite) {
    addCarefully<X, Y>(x, y, n, column, row, state);
    return;
  }
  let xy = xx + xd;
  let yy = xy + xd + dd;
  if (!(yy >= SMALLER * xx)) {
    addProducts<X, Y>(x, y, n);
    yy = load<f64>(PRODUCTS);
    xy = load<f64>(PRODUCTS, 8);
  }
  addTo(state + ROW, xx, yy, xy, dd, xd, sumD, absD, <f64>n);
  if (maxD > load<f64>(state + ROW + MAX)) store<f64>(state + ROW + MAX, maxD);
  if (maxD > load<f64>(state + MAX)) locate<X, Y>(x, y, n, column, row, state, maxD);
  const largest = load<f64>(state + LARGEST);
  // Σy² is rounded: what is close is looked at.
  if (yy * 1.000001 >= largest * largest) countSaturated<X, Y>(x, y, n, state);
}

/** Where {@link addProducts} puts Σy² and Σxy. */
const PRODUCTS: usize = memory.data(16, 16);

function addProducts<X, Y>(x: usize, y: usize, n: i32): void {
  let yy2 = f64x2.splat(0);
  let xy2 = f64x2.splat(0);
  const whole = n & ~3;
  for (let i = 0; i < whole; i += 4) {
    if (idof<X>() == idof<F64>()) {
      const b0 = v128.load(y);
      const b1 = v128.load(y, 16);
      yy2 = f64x2.add(yy2, f64x2.add(f64x2.mul(b0, b0), f64x2.mul(b1, b1)));
      xy2 = f64x2.add(xy2, f64x2.mul(v128.load(x), b0));
      xy2 = f64x2.add(xy2, f64x2.mul(v128.load(x, 16), b1));
    } else {
      const a = load4<X>(x);
      const b = load4<Y>(y);
      yy2 = f64x2.add(yy2, f64x2.mul(low(b), low(b)));
      yy2 = f64x2.add(yy2, f64x2.mul(high(b), high(b)));
      xy2 = f64x2.add(xy2, f64x2.mul(low(a), low(b)));
      xy2 = f64x2.add(xy2, f64x2.mul(high(a), high(b)));
    }
    x += 4 * sizeOf<X>();
    y += 4 * sizeOf<Y>();
  }
  let yy = sum2(yy2);
  let xy = sum2(xy2);
  for (let i = whole; i < n; i++) {
    const b = load1<Y>(y);
    yy += b * b;
    xy += load1<X>(x) * b;
    x += sizeOf<X>();
    y += sizeOf<Y>();
  }
  store<f64>(PRODUCTS, yy);
  store<f64>(PRODUCTS, xy, 8);
}

// @ts-expect-error: AssemblyScript's decorators are no TypeScript
@inline
function sum2(v: v128): f64 {
  return f64x2.extract_lane(v, 0) + f64x2.extract_lane(v, 1);
}

// @ts-expect-error: as above
@inline
function safe(largest: f64): bool {
  return largest == 0 || (largest >= LEAST_SAFE && largest <= MOST_SAFE);
}

function addTo(
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
function locate<X, Y>(
  x: usize,
  y: usize,
  n: i32,
  column: i32,
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
    store<f64>(state + MAX_COLUMN, <f64>(column + i));
    store<f64>(state + MAX_X, a);
    store<f64>(state + MAX_Y, b);
    return;
  }
}

function countSaturated<X, Y>(x: usize, y: usize, n: i32, state: usize): void {
  const largest = load<f64>(state + LARGEST);
  const distance = load<f64>(state + SATURATION_DISTANCE);
  for (let i = 0; i < n; i++) {
    const b = load1<Y>(y + (<usize>i) * sizeOf<Y>());
    if (abs(b) != largest) continue;
    const a = load1<X>(x + (<usize>i) * sizeOf<X>());
    // Not true of a NaN.
    if (abs(b - a) > distance) increment(state + SATURATED);
  }
}

/** 0 for a finite value; 1, 2, 3 for NaN, +∞, −∞. */
function kindOf(value: f64): i32 {
  if (isNaN(value)) return 1;
  return value == Infinity ? 2 : value == -Infinity ? 3 : 0;
}

/** A block of which not every value is finite: pairs that are not are counted and left out of the sums. */
function addCarefully<X, Y>(
  x: usize,
  y: usize,
  n: i32,
  column: i32,
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
        store<f64>(state + MISMATCH_COLUMN, <f64>(column + i));
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
