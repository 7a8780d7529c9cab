/**
 * Where sums live in memory: all as float64, so that whoever reads them needs to
 * know no other type. `results.ts` on the other side names the same places.
 */

/** A compensated sum is two numbers, the sum and what it lost. */
const SUM: usize = 16;

// The sums of one row, then what else is known of it.
export const XX: usize = 0;
export const YY: usize = SUM;
export const XY: usize = 2 * SUM;
export const DD: usize = 3 * SUM;
export const XD: usize = 4 * SUM;
export const D: usize = 5 * SUM;
export const ABS_D: usize = 6 * SUM;
export const COUNT: usize = 7 * SUM;
/** max |d|; −1 where there is none. */
export const MAX: usize = 120;

// What is known of all rows besides: where max |d| is first reached, and what is not finite.
export const MAX_ROW: usize = 128;
export const MAX_COLUMN: usize = 136;
export const MAX_X: usize = 144;
export const MAX_Y: usize = 152;
/** NaN, +∞ and −∞ of x, then those of y. */
export const NAN_X: usize = 160;
export const NAN_Y: usize = 184;
export const MISMATCHED: usize = 208;
export const MISMATCH_ROW: usize = 216;
export const MISMATCH_COLUMN: usize = 224;
export const MISMATCH_X: usize = 232;
export const MISMATCH_Y: usize = 240;
export const SATURATED: usize = 248;
/** Elements whose bytes differ. */
export const DIFFERING: usize = 256;
/** 1 where float64 values are not finite or their squares leave its range: these sums are then worth nothing. */
export const UNSAFE: usize = 264;

/** Largest finite value of y's dtype, and how far from it x must lie where y has it (input). */
export const LARGEST: usize = 272;
export const SATURATION_DISTANCE: usize = 280;

/** The row under way, behind the totals. */
export const ROW: usize = 288;
export const STATE_BYTES: usize = ROW + 128;

/** Adds `value` to the compensated sum at `at` (Neumaier 1974). */
export function plus(at: usize, value: f64): void {
  const sum = load<f64>(at);
  const total = sum + value;
  const lost = abs(sum) >= abs(value) ? sum - total + value : value - total + sum;
  store<f64>(at, total);
  store<f64>(at, load<f64>(at, 8) + lost, 8);
}

/** Adds to a count. */
export function increment(at: usize, by: f64 = 1): void {
  store<f64>(at, load<f64>(at) + by);
}

/** Makes `state` that of nothing seen, but for its inputs. */
export function clear(state: usize): void {
  memory.fill(state, 0, LARGEST);
  store<f64>(state + MAX, -1);
  clearRow(state + ROW);
}

export function clearRow(row: usize): void {
  memory.fill(row, 0, 128);
  store<f64>(row + MAX, -1);
}
