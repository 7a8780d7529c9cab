/**
 * The sums over rows from which the error of each channel is made: with e = w·d and
 * z = w·x of a row of weight w, Σe, Σe², Σz·e and Σz² of each column.
 */

import { F64, high, load1, load4, low, sizeOf } from "./formats";

/** Rows that are gone through together, so that sums are not fetched and put back for each. */
const TILE: i32 = 8;

/**
 * Adds `rows` rows of `width` columns.
 *
 * @param weights one for each row; 0 leaves a row out.
 * @param sums four times `width` numbers.
 */
export function channelSums<X, Y>(
  x: usize,
  y: usize,
  rows: i32,
  width: i32,
  weights: usize,
  sums: usize,
): void {
  for (let row = 0; row < rows; row += TILE) {
    const n = min(TILE, rows - row);
    const skip = <usize>row * <usize>width;
    addTile<X, Y>(
      x + skip * sizeOf<X>(),
      y + skip * sizeOf<Y>(),
      n,
      width,
      weights + <usize>row * 8,
      sums,
    );
  }
}

function addTile<X, Y>(
  x: usize,
  y: usize,
  rows: i32,
  width: i32,
  weights: usize,
  sums: usize,
): void {
  const size = <usize>width * 8;
  const whole = width & ~3;
  const xStride = <usize>width * sizeOf<X>();
  const yStride = <usize>width * sizeOf<Y>();
  for (let column = 0; column < whole; column += 4) {
    let at = sums + <usize>column * 8;
    let e0 = v128.load(at);
    let e1 = v128.load(at, 16);
    let ee0 = v128.load(at + size);
    let ee1 = v128.load(at + size, 16);
    let ze0 = v128.load(at + 2 * size);
    let ze1 = v128.load(at + 2 * size, 16);
    let zz0 = v128.load(at + 3 * size);
    let zz1 = v128.load(at + 3 * size, 16);
    let p = x + <usize>column * sizeOf<X>();
    let q = y + <usize>column * sizeOf<Y>();
    for (let row = 0; row < rows; row++) {
      const w = v128.load_splat<u64>(weights + <usize>row * 8);
      let a0: v128;
      let a1: v128;
      let b0: v128;
      let b1: v128;
      if (idof<X>() == idof<F64>()) {
        a0 = v128.load(p);
        a1 = v128.load(p, 16);
        b0 = v128.load(q);
        b1 = v128.load(q, 16);
      } else {
        const a = load4<X>(p);
        const b = load4<Y>(q);
        a0 = low(a);
        a1 = high(a);
        b0 = low(b);
        b1 = high(b);
      }
      const d0 = f64x2.sub(b0, a0);
      const d1 = f64x2.sub(b1, a1);
      // d − d is 0 where both are finite, else NaN: such a pair is no part of the error.
      const finite0 = f64x2.eq(f64x2.sub(d0, d0), f64x2.splat(0));
      const finite1 = f64x2.eq(f64x2.sub(d1, d1), f64x2.splat(0));
      const error0 = v128.and(f64x2.mul(w, d0), finite0);
      const error1 = v128.and(f64x2.mul(w, d1), finite1);
      const value0 = v128.and(f64x2.mul(w, a0), finite0);
      const value1 = v128.and(f64x2.mul(w, a1), finite1);
      e0 = f64x2.add(e0, error0);
      e1 = f64x2.add(e1, error1);
      ee0 = f64x2.add(ee0, f64x2.mul(error0, error0));
      ee1 = f64x2.add(ee1, f64x2.mul(error1, error1));
      ze0 = f64x2.add(ze0, f64x2.mul(value0, error0));
      ze1 = f64x2.add(ze1, f64x2.mul(value1, error1));
      zz0 = f64x2.add(zz0, f64x2.mul(value0, value0));
      zz1 = f64x2.add(zz1, f64x2.mul(value1, value1));
      p += xStride;
      q += yStride;
    }
    v128.store(at, e0);
    v128.store(at, e1, 16);
    at += size;
    v128.store(at, ee0);
    v128.store(at, ee1, 16);
    at += size;
    v128.store(at, ze0);
    v128.store(at, ze1, 16);
    at += size;
    v128.store(at, zz0);
    v128.store(at, zz1, 16);
  }
  for (let column = whole; column < width; column++) {
    addColumn<X, Y>(x, y, rows, width, column, weights, sums);
  }
}

function addColumn<X, Y>(
  x: usize,
  y: usize,
  rows: i32,
  width: i32,
  column: i32,
  weights: usize,
  sums: usize,
): void {
  const size = <usize>width * 8;
  const at = sums + <usize>column * 8;
  for (let row = 0; row < rows; row++) {
    const index = <usize>row * <usize>width + <usize>column;
    const a = load1<X>(x + index * sizeOf<X>());
    const d = load1<Y>(y + index * sizeOf<Y>()) - a;
    if (!isFinite(d)) continue;
    const w = load<f64>(weights + <usize>row * 8);
    const error = w * d;
    const value = w * a;
    store<f64>(at, load<f64>(at) + error);
    store<f64>(at + size, load<f64>(at + size) + error * error);
    store<f64>(at + 2 * size, load<f64>(at + 2 * size) + value * error);
    store<f64>(at + 3 * size, load<f64>(at + 3 * size) + value * value);
  }
}
