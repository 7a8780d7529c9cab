/**
 * The sums over pairs (x, y) of which every per-tensor figure is made, d = y − x:
 * Σx², Σy², Σxy, Σd², Σxd, Σd, Σ|d|, max |d|, for each row and for all.
 *
 * The loop adds Σx², Σxd, Σd², Σd and Σ|d| of a block plainly and joins blocks by
 * compensated summation. Σxy = Σx² + Σxd and Σy² = Σx² + 2Σxd + Σd² follow from
 * them without loss unless y is smaller than x; then they are added up themselves.
 */

import { F16, F64, high, load1, load4, low, overflow, overflowed, raw4, sizeOf, value4 } from "./formats";
import { addCarefully, addTo, countSaturated, locate } from "./block";
import { endRow } from "./row-record";
import { LARGEST, MAX, ROW, UNSAFE } from "./state";

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
  column: f64,
  firstRow: i32,
  ends: bool,
  state: usize,
  record: usize,
  stride: usize,
): void {
  for (let row = 0; row < rows; row++) {
    for (let done = 0; done < columns; done += BLOCK) {
      const n = min(BLOCK, columns - done);
      addBlock<X, Y>(x, y, n, column + <f64>done, firstRow + row, state);
      x += (<usize>n) * sizeOf<X>();
      y += (<usize>n) * sizeOf<Y>();
    }
    if (ends) {
      endRow(state, record);
      record += stride;
    }
  }
}

function addBlock<X, Y>(x: usize, y: usize, n: i32, column: f64, row: i32, state: usize): void {
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
