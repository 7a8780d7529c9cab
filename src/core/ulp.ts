/**
 * Differences in units in the last place. The ULP of a format at r is the
 * distance of its neighbouring numbers in r's binade, 2^(e − p) with
 * e = ⌊log₂ |r|⌋ and p stored mantissa bits. Zero and whatever lies below the
 * smallest normal number have the smallest subnormal; what lies beyond the
 * largest finite number has the ULP of that.
 */

import type { FloatDType } from "./dtype.ts";
import { FORMATS } from "./number-format.ts";

/** Upper bounds of the buckets that hold |d| in ULP; the bound belongs to its bucket. */
export const ULP_BOUNDS: readonly number[] = [
  0,
  ...Array.from({ length: 18 }, (_, i) => 2 ** (i - 1)),
];

/** Bucket of what is finite and above the last bound. */
export const BEYOND: number = ULP_BOUNDS.length;

const EXPONENT_BIAS = 1023;
const EXPONENTS = 2048;

/** Reads the exponent out of a float64's bits; one for each user, as threads share nothing. */
export class UlpMeter {
  private readonly value = new Float64Array(1);
  /** Low and high word: every platform of Node is little-endian. */
  private readonly words = new Uint32Array(this.value.buffer);
  private readonly ulps: Float64Array;

  constructor(dtype: FloatDType) {
    const { minNormal, maxFinite, mantissaBits } = formatOf(dtype);
    const least = Math.log2(minNormal);
    const most = Math.floor(Math.log2(maxFinite));
    this.ulps = Float64Array.from({ length: EXPONENTS }, (_, biased) => {
      const exponent = Math.min(most, Math.max(least, biased - EXPONENT_BIAS));
      return 2 ** (exponent - mantissaBits);
    });
  }

  /** The ULP at finite `r`; positive. */
  at(r: number): number {
    this.value[0] = r;
    return this.ulps[this.biasedExponent()] as number;
  }

  /** Index into {@link ULP_BOUNDS} of a difference of `ulps` ≥ 0, or {@link BEYOND}; infinite is beyond. */
  bucket(ulps: number): number {
    if (ulps === 0) return 0;
    this.value[0] = ulps;
    const [low, high] = [this.words[0] as number, this.words[1] as number];
    const isPower = low === 0 && (high & 0xfffff) === 0;
    const ceiling = this.biasedExponent() - EXPONENT_BIAS + (isPower ? 0 : 1);
    return Math.min(BEYOND, Math.max(1, ceiling + 2));
  }

  private biasedExponent(): number {
    return ((this.words[1] as number) >>> 20) & 0x7ff;
  }
}

function formatOf(dtype: FloatDType) {
  const found = Object.values(FORMATS).find((format) => format.dtype === dtype);
  if (found === undefined) throw new RangeError(`${dtype} is no format of a dump`);
  return found;
}
