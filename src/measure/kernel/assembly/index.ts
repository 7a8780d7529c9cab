/**
 * What the kernel gives out. A dtype is a number here, in the order of {@link
 * withFirst}; float64 goes only with float64, because whatever is beside it is
 * widened before.
 */

import { channelSums } from "./channels";
import { prepareExponential } from "./exponential";
import { BF16, E4M3, E5M2, F16, F32, F64, load1, sizeOf, widen, widenGroups } from "./formats";
import { pairRows } from "./pair-sums";
import {
  addBlock,
  blockSize,
  GROUP,
  groupsAt,
  MOST_SIDES,
  softmaxSides,
  softmaxTops,
  startRow,
  widenedAt,
} from "./softmax";
import { clear, STATE_BYTES } from "./state";

prepareExponential();

export { softmaxSides, softmaxTops, startRow };

/** Where memory begins that this module leaves to whoever calls it. */
export function freeMemory(): usize {
  return __heap_base;
}

/** Sides, the reference among them, that logits are looked at of together. */
export function mostSides(): i32 {
  return MOST_SIDES;
}

/** Bytes of the state of one pair of sides. */
export function stateBytes(): i32 {
  return STATE_BYTES as i32;
}

export { clear as clearState };

/** See `pairRows` in pair-sums.ts. */
export function addPairs(
  dtypeX: i32,
  dtypeY: i32,
  x: usize,
  y: usize,
  rows: i32,
  columns: i32,
  column: f64,
  row: i32,
  ends: bool,
  state: usize,
  record: usize,
  stride: usize,
): void {
  switch (dtypeX) {
    case 0:
      return pairsWith<F32>(dtypeY, x, y, rows, columns, column, row, ends, state, record, stride);
    case 1:
      return pairsWith<F16>(dtypeY, x, y, rows, columns, column, row, ends, state, record, stride);
    case 2:
      return pairsWith<BF16>(dtypeY, x, y, rows, columns, column, row, ends, state, record, stride);
    case 3:
      return pairsWith<E4M3>(dtypeY, x, y, rows, columns, column, row, ends, state, record, stride);
    case 4:
      return pairsWith<E5M2>(dtypeY, x, y, rows, columns, column, row, ends, state, record, stride);
    default:
      return pairRows<F64, F64>(x, y, rows, columns, column, row, ends, state, record, stride);
  }
}

function pairsWith<X>(
  dtypeY: i32,
  x: usize,
  y: usize,
  rows: i32,
  columns: i32,
  column: f64,
  row: i32,
  ends: bool,
  state: usize,
  record: usize,
  stride: usize,
): void {
  switch (dtypeY) {
    case 0:
      return pairRows<X, F32>(x, y, rows, columns, column, row, ends, state, record, stride);
    case 1:
      return pairRows<X, F16>(x, y, rows, columns, column, row, ends, state, record, stride);
    case 2:
      return pairRows<X, BF16>(x, y, rows, columns, column, row, ends, state, record, stride);
    case 3:
      return pairRows<X, E4M3>(x, y, rows, columns, column, row, ends, state, record, stride);
    default:
      return pairRows<X, E5M2>(x, y, rows, columns, column, row, ends, state, record, stride);
  }
}

/** See `channelSums` in channels.ts. */
export function addChannels(
  dtypeX: i32,
  dtypeY: i32,
  x: usize,
  y: usize,
  rows: i32,
  width: i32,
  weights: usize,
  sums: usize,
): void {
  switch (dtypeX) {
    case 0:
      return channelsWith<F32>(dtypeY, x, y, rows, width, weights, sums);
    case 1:
      return channelsWith<F16>(dtypeY, x, y, rows, width, weights, sums);
    case 2:
      return channelsWith<BF16>(dtypeY, x, y, rows, width, weights, sums);
    case 3:
      return channelsWith<E4M3>(dtypeY, x, y, rows, width, weights, sums);
    case 4:
      return channelsWith<E5M2>(dtypeY, x, y, rows, width, weights, sums);
    default:
      return channelSums<F64, F64>(x, y, rows, width, weights, sums);
  }
}

function channelsWith<X>(
  dtypeY: i32,
  x: usize,
  y: usize,
  rows: i32,
  width: i32,
  weights: usize,
  sums: usize,
): void {
  switch (dtypeY) {
    case 0:
      return channelSums<X, F32>(x, y, rows, width, weights, sums);
    case 1:
      return channelSums<X, F16>(x, y, rows, width, weights, sums);
    case 2:
      return channelSums<X, BF16>(x, y, rows, width, weights, sums);
    case 3:
      return channelSums<X, E4M3>(x, y, rows, width, weights, sums);
    default:
      return channelSums<X, E5M2>(x, y, rows, width, weights, sums);
  }
}

/** Writes `n` elements from `from`, times `factor`, as float64 to `to`. */
export function widenTo(dtype: i32, from: usize, n: i32, factor: f64, to: usize): void {
  switch (dtype) {
    case 0:
      return widen<F32>(from, n, factor, to);
    case 1:
      return widen<F16>(from, n, factor, to);
    case 2:
      return widen<BF16>(from, n, factor, to);
    case 3:
      return widen<E4M3>(from, n, factor, to);
    case 4:
      return widen<E5M2>(from, n, factor, to);
    default:
      return widen<F64>(from, n, factor, to);
  }
}

/** Element `index` of the dtype at `from`. */
export function elementAt(dtype: i32, from: usize, index: i32): f64 {
  switch (dtype) {
    case 0:
      return load1<F32>(from + <usize>index * sizeOf<F32>());
    case 1:
      return load1<F16>(from + <usize>index * sizeOf<F16>());
    case 2:
      return load1<BF16>(from + <usize>index * sizeOf<BF16>());
    case 3:
      return load1<E4M3>(from + <usize>index * sizeOf<E4M3>());
    case 4:
      return load1<E5M2>(from + <usize>index * sizeOf<E5M2>());
    default:
      return load1<F64>(from + <usize>index * sizeOf<F64>());
  }
}

/**
 * Adds `n` columns of a row of logits, from `column` on.
 *
 * @param sides of each side its dtype and where its columns lie, as int32.
 * @param masked see `addBlock` in softmax.ts.
 */
export function addLogits(sides: usize, count: i32, n: i32, column: f64, masked: bool): void {
  for (let start = 0; start < n; start += blockSize()) {
    const size = min(blockSize(), n - start);
    for (let side = 0; side < count; side++) {
      const dtype = load<i32>(sides + <usize>side * 8);
      const from = <usize>load<u32>(sides + <usize>side * 8, 4);
      widenSide(dtype, from + <usize>start * bytesOf(dtype), size, side);
    }
    addBlock(size, column + <f64>start, count, masked);
  }
}

/** Σ(d − mean)² over the finite of `n` pairs, d = y − x. */
export function squaresAround(
  dtypeX: i32,
  dtypeY: i32,
  x: usize,
  y: usize,
  n: i32,
  mean: f64,
): f64 {
  let sum: f64 = 0;
  for (let start = 0; start < n; start += blockSize()) {
    const size = min(blockSize(), n - start);
    widenTo(dtypeX, x + <usize>start * bytesOf(dtypeX), size, 1, widenedAt(0));
    widenTo(dtypeY, y + <usize>start * bytesOf(dtypeY), size, 1, widenedAt(1));
    for (let i = 0; i < size; i++) {
      const d = load<f64>(widenedAt(1) + <usize>i * 8) - load<f64>(widenedAt(0) + <usize>i * 8);
      if (isFinite(d)) sum += (d - mean) * (d - mean);
    }
  }
  return sum;
}

function widenSide(dtype: i32, from: usize, n: i32, side: i32): void {
  const to = widenedAt(side);
  const largest = groupsAt(side);
  switch (dtype) {
    case 0:
      return widenGroups<F32>(from, n, to, GROUP, largest);
    case 1:
      return widenGroups<F16>(from, n, to, GROUP, largest);
    case 2:
      return widenGroups<BF16>(from, n, to, GROUP, largest);
    case 3:
      return widenGroups<E4M3>(from, n, to, GROUP, largest);
    case 4:
      return widenGroups<E5M2>(from, n, to, GROUP, largest);
    default:
      return widenGroups<F64>(from, n, to, GROUP, largest);
  }
}

function bytesOf(dtype: i32): usize {
  return dtype == 5 ? 8 : dtype == 0 ? 4 : dtype < 3 ? 2 : 1;
}

/** Elements of `size` bytes, `count` of them, in which `x` and `y` differ by a bit. */
export function countDiffering(x: usize, y: usize, count: i32, size: i32): i32 {
  if (memory.compare(x, y, <usize>count * <usize>size) == 0) return 0;
  let differing = 0;
  for (let i = 0; i < count; i++) {
    const at = <usize>i * <usize>size;
    if (memory.compare(x + at, y + at, <usize>size) != 0) differing++;
  }
  return differing;
}
