import { DTYPES, type FloatDType } from "../../core/dtype.ts";
import type { Cause } from "./cause.ts";

/** Share of the elements that fit: of random numbers half fit one bit less. */
const LEAST_SHARE = 0.999;

/** Elements that are needed to say so. */
const LEAST_ELEMENTS = 1000;

/**
 * Median error over what rounding to that many bits costs, 0.85·2^−(n+1):
 * truncation costs twice as much, and the floor's error comes on top. Where the
 * error is far larger the rounding is not its cause.
 */
const MOST_TIMES = 8;
const ROUNDING = 0.85;

/** The significant bits of what rounding to a known format leaves. */
const FORMATS: Readonly<Record<number, string>> = {
  11: "float16, TF32 or HF32",
  8: "bfloat16",
  4: "FP8 E4M3",
  3: "FP8 E5M2",
};

/** x has fewer significant bits than its format holds: it was rounded, or truncated, on the way. */
export const bits: Cause = {
  id: "cause/bits",
  find({ specimen: { x, dtype }, median }) {
    const known = significantBits(dtype);
    const counts = new Uint32Array(known + 1);
    let elements = 0;
    for (const value of x) {
      if (value === 0) continue;
      elements += 1;
      const needed = bitsOf(value, known);
      counts[needed] = (counts[needed] as number) + 1;
    }
    if (elements < LEAST_ELEMENTS) return null;
    let [fitting, found] = [0, 0];
    while (fitting < LEAST_SHARE * elements) {
      found += 1;
      fitting += counts[found] as number;
    }
    if (found >= known || median > MOST_TIMES * ROUNDING * 2 ** -(found + 1)) return null;
    return {
      confidence: found <= known - 2 ? 0.98 : 0.95,
      detail: { bits: found, of: known, format: FORMATS[found] ?? "" },
    };
  },
};

/** Bits of the significand, the hidden one included: u is 2^−(n + 1). */
function significantBits(dtype: FloatDType): number {
  return -Math.log2(DTYPES[dtype].u) - 1;
}

const VIEW = new DataView(new ArrayBuffer(8));

/** Significant bits that `value`, which has at most `most`, needs. */
function bitsOf(value: number, most: number): number {
  VIEW.setFloat64(0, value);
  const low = VIEW.getUint32(4);
  const high = VIEW.getUint32(0) & 0xfffff;
  const trailing = low === 0 ? 32 + trailingZeros(high, 20) : trailingZeros(low, 32);
  return Math.min(most, 53 - trailing);
}

/** Zeros at the end of the lowest `width` bits of `word`. */
function trailingZeros(word: number, width: number): number {
  return word === 0 ? width : 31 - Math.clz32(word & -word);
}
