/**
 * Four elements of a dtype as float32x4, or as two float64x2 where the dtype is
 * float64. Every conversion is exact; NaN stays NaN.
 */

// Names of dtypes as types, so that each pair of them gets a loop of its own.
export class F32 {}
export class F16 {}
export class BF16 {}
export class E4M3 {}
export class E5M2 {}
export class F64 {}

/** Bytes of an element. */
// @ts-expect-error: AssemblyScript's decorators are no TypeScript
@inline
export function sizeOf<D>(): i32 {
  if (idof<D>() == idof<F64>()) return 8;
  if (idof<D>() == idof<F32>()) return 4;
  if (idof<D>() == idof<F16>() || idof<D>() == idof<BF16>()) return 2;
  return 1;
}

/** 2¹¹² and 2¹²⁰: what is between float32's exponent bias and those of float16 and E4M3. */
const HALF_BIAS: u32 = 0x77800000;
const E4M3_BIAS: u32 = 0x7b800000;

/**
 * Float16 in the low half of each lane, sign extended. Exponent and mantissa are
 * put where float32 has them and multiplied to the right bias, which is exact
 * for subnormals too; only the largest exponent then needs float32's.
 */
// @ts-expect-error: as above
@inline
function half(bits: v128): v128 {
  const moved = v128.and(i32x4.shl(bits, 13), i32x4.splat(0x8fffe000));
  const value = f32x4.mul(moved, f32x4.splat(reinterpret<f32>(HALF_BIAS)));
  const magnitude = v128.and(bits, i32x4.splat(0x7fff));
  const special = i32x4.gt_s(magnitude, i32x4.splat(0x7bff));
  return v128.or(value, v128.and(special, i32x4.splat(0x7f800000)));
}

/** Elements 0 to 3 of a dtype narrower than float64. */
// @ts-expect-error: as above
@inline
export function load4<D>(at: usize): v128 {
  if (idof<D>() == idof<F32>()) return v128.load(at);
  if (idof<D>() == idof<BF16>()) return i32x4.shl(v128.load_ext<u16>(at), 16);
  if (idof<D>() == idof<F16>()) return half(v128.load_ext<i16>(at));
  const bytes = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load_zero<u32>(at)));
  // E5M2 is the upper byte of a float16.
  if (idof<D>() == idof<E5M2>()) return half(i32x4.shr_s(i32x4.shl(bytes, 24), 16));
  const magnitude = v128.and(bytes, i32x4.splat(0x7f));
  const value = f32x4.mul(i32x4.shl(magnitude, 20), f32x4.splat(reinterpret<f32>(E4M3_BIAS)));
  const nan = v128.and(i32x4.eq(magnitude, i32x4.splat(0x7f)), i32x4.splat(0x7fc00000));
  const sign = i32x4.shl(v128.andnot(bytes, i32x4.splat(0x7f)), 24);
  return v128.or(v128.or(value, nan), sign);
}

/** Where {@link raw4} leaves float16's exponent; the bit above it is 0. */
const HALF_EXPONENT_UNIT: u32 = 0x00800000;
const HALF_OVERFLOW: u32 = 0x10000000;

/**
 * As {@link load4}, but float16 only moved to where float32 has its parts: whether
 * its values are finite costs less to ask once for many ({@link overflow}).
 */
// @ts-expect-error: as above
@inline
export function raw4<D>(at: usize): v128 {
  if (idof<D>() != idof<F16>()) return load4<D>(at);
  return v128.and(i32x4.shl(v128.load_ext<i16>(at), 13), i32x4.splat(0x8fffe000));
}

/** What {@link raw4} left: the value, if it is finite. */
// @ts-expect-error: as above
@inline
export function value4<D>(raw: v128): v128 {
  if (idof<D>() != idof<F16>()) return raw;
  return f32x4.mul(raw, f32x4.splat(reinterpret<f32>(HALF_BIAS)));
}

/** Sets a bit of `seen` where a float16 of {@link raw4} is not finite. */
// @ts-expect-error: as above
@inline
export function overflow<D>(seen: v128, raw: v128): v128 {
  if (idof<D>() != idof<F16>()) return seen;
  return v128.or(seen, i32x4.add(raw, i32x4.splat(HALF_EXPONENT_UNIT)));
}

/** Whether {@link overflow} saw any. */
// @ts-expect-error: as above
@inline
export function overflowed(seen: v128): bool {
  return v128.any_true(v128.and(seen, i32x4.splat(HALF_OVERFLOW)));
}

/** Elements 0 and 1 of four as float64. */
// @ts-expect-error: as above
@inline
export function low(four: v128): v128 {
  return f64x2.promote_low_f32x4(four);
}

/** Elements 2 and 3 of four as float64. */
// @ts-expect-error: as above
@inline
export function high(four: v128): v128 {
  const moved = i8x16.shuffle(four, four, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  return f64x2.promote_low_f32x4(moved);
}

/** One element as float64. */
export function load1<D>(at: usize): f64 {
  if (idof<D>() == idof<F64>()) return load<f64>(at);
  if (idof<D>() == idof<F32>()) return load<f32>(at);
  // Four lanes of the same element, so that nothing beyond it is read.
  if (idof<D>() == idof<BF16>()) return reinterpret<f32>((<u32>load<u16>(at)) << 16);
  if (idof<D>() == idof<F16>()) return f32x4.extract_lane(half(i32x4.splat(load<i16>(at))), 0);
  if (idof<D>() == idof<E5M2>()) {
    return f32x4.extract_lane(half(i32x4.splat((<i32>load<i8>(at)) << 8)), 0);
  }
  const bits = <u32>load<u8>(at);
  const magnitude = bits & 0x7f;
  if (magnitude == 0x7f) return NaN;
  const value = reinterpret<f32>(magnitude << 20) * reinterpret<f32>(E4M3_BIAS);
  return bits > 0x7f ? -value : value;
}

/** Writes `n` elements from `from` as float64 times `factor` to `to`. */
export function widen<D>(from: usize, n: i32, factor: f64, to: usize): void {
  const times = f64x2.splat(factor);
  const whole = n & ~3;
  for (let i = 0; i < whole; i += 4) {
    if (idof<D>() == idof<F64>()) {
      v128.store(to, f64x2.mul(v128.load(from), times));
      v128.store(to, f64x2.mul(v128.load(from, 16), times), 16);
    } else {
      const four = load4<D>(from);
      v128.store(to, f64x2.mul(low(four), times));
      v128.store(to, f64x2.mul(high(four), times), 16);
    }
    from += 4 * sizeOf<D>();
    to += 32;
  }
  for (let i = whole; i < n; i++) {
    store<f64>(to, load1<D>(from) * factor);
    from += sizeOf<D>();
    to += 8;
  }
}

/**
 * Writes `n` elements from `from` as float64 to `to`, and the largest of each
 * `group` of them to `largest`; NaN is passed over.
 */
export function widenGroups<D>(from: usize, n: i32, to: usize, group: i32, largest: usize): void {
  for (let start = 0; start < n; start += group) {
    const size = min(group, n - start);
    store<f64>(largest, widenGroup<D>(from, size, to));
    from += (<usize>size) * sizeOf<D>();
    to += (<usize>size) * 8;
    largest += 8;
  }
}

function widenGroup<D>(from: usize, n: i32, to: usize): f64 {
  const whole = n & ~3;
  let most: f64 = -Infinity;
  if (idof<D>() == idof<F64>()) {
    for (let i = 0; i < n; i++) {
      const value = load<f64>(from);
      store<f64>(to, value);
      if (value > most) most = value;
      from += 8;
      to += 8;
    }
    return most;
  }
  let most4 = f32x4.splat(-Infinity);
  for (let i = 0; i < whole; i += 4) {
    const four = load4<D>(from);
    // The second of pmax is taken only where it is larger.
    most4 = f32x4.pmax(most4, four);
    v128.store(to, low(four));
    v128.store(to, high(four), 16);
    from += 4 * sizeOf<D>();
    to += 32;
  }
  most4 = f32x4.pmax(most4, i8x16.shuffle(most4, most4, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  const first: f64 = f32x4.extract_lane(most4, 0);
  const second: f64 = f32x4.extract_lane(most4, 1);
  most = max<f64>(first, second);
  for (let i = whole; i < n; i++) {
    const value = load1<D>(from);
    store<f64>(to, value);
    if (value > most) most = value;
    from += sizeOf<D>();
    to += 8;
  }
  return most;
}
