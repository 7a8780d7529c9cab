/**
 * exp of two numbers at most 0, to 1e-12 of it. No library's: what it gives
 * must not depend on the engine that runs it.
 */

/** Powers of two between 1 and 2 in the table: as many as the nearest cache takes beside what is worked on. */
const STEPS: i32 = 2048;
const STEP_BITS: i32 = 11;

/** 2^(i/2048) as bits, less i·2⁴¹, so that adding k·2⁴¹ with k ≡ i mod 2048 multiplies by 2^((k−i)/2048). */
const POWERS: usize = memory.data(2048 * 8, 16);

// Constants lie in memory: an operand from there costs nothing, one that is put
// together in a register costs three instructions.
const CONSTANTS: usize = memory.data(5 * 16, 16);
const LEAST: usize = CONSTANTS;
const PER_LN2: usize = CONSTANTS + 16;
const ROUNDER: usize = CONSTANTS + 32;
const LN2_PART: usize = CONSTANTS + 48;
const HALF: usize = CONSTANTS + 64;

function both(at: usize, value: f64): void {
  v128.store(at, f64x2.splat(value));
}

/** Fills the tables; once, before anything else. */
export function prepareExponential(): void {
  // Products of square roots, each correctly rounded: every bit of i is one.
  for (let i = 0; i < STEPS; i++) {
    let power: f64 = 1;
    let root: f64 = 2;
    for (let bit = STEP_BITS - 1; bit >= 0; bit--) {
      root = sqrt(root);
      if (((i >> bit) & 1) == 1) power *= root;
    }
    store<i64>(POWERS + (<usize>i) * 8, reinterpret<i64>(power) - ((<i64>i) << (52 - STEP_BITS)));
  }
  // exp(−708) is the least that is a normal number; beside 1 it is nothing.
  both(LEAST, -708);
  both(PER_LN2, 2954.639443740597);
  // Added and taken off, it leaves an integer; its low bits are that integer.
  both(ROUNDER, 6755399441055744);
  both(LN2_PART, 0.0003384507717577858);
  both(HALF, 0.5);
}

/**
 * exp(a) for a ≤ 0: a = k·ln 2/2048 + r, and e^r = 1 + r + r²/2 (|r| ≤ 0.00017, so
 * that what is left out is below 8.1e-13). Below −708 it is exp(−708).
 */
// @ts-expect-error: AssemblyScript's decorators are no TypeScript
@inline
export function exponential(a: v128): v128 {
  // A NaN is not less than anything and stays.
  a = f64x2.pmax(a, v128.load(LEAST));
  const t = f64x2.add(f64x2.mul(a, v128.load(PER_LN2)), v128.load(ROUNDER));
  const k = f64x2.sub(t, v128.load(ROUNDER));
  const r = f64x2.sub(a, f64x2.mul(k, v128.load(LN2_PART)));
  const q = f64x2.add(r, f64x2.mul(f64x2.mul(r, r), v128.load(HALF)));
  let power = v128.load_zero<u64>(entry(i32x4.extract_lane(t, 0)));
  power = v128.load_lane<u64>(entry(i32x4.extract_lane(t, 2)), power, 1);
  power = i64x2.add(power, i64x2.shl(t, 52 - STEP_BITS));
  return f64x2.add(power, f64x2.mul(power, q));
}

// @ts-expect-error: as above
@inline
function entry(k: i32): usize {
  return POWERS + ((<usize>k) & (STEPS - 1)) * 8;
}
