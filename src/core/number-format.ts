/**
 * What number formats can hold, worked out from their bits. Formats that
 * tensors are stored in have the names of {@link DTYPES}; TF32 and HF32 are
 * what some devices round the operands of a float32 product to.
 */

import { DTYPES, type FloatDType } from "./dtype.ts";

/** Every number format that can be explained. Ids are frozen, additions only. */
export const FORMAT_IDS = [
  "dtype/f64",
  "dtype/f32",
  "dtype/hf32",
  "dtype/tf32",
  "dtype/bf16",
  "dtype/f16",
  "dtype/f8_e4m3",
  "dtype/f8_e5m2",
] as const;

export type FormatId = (typeof FORMAT_IDS)[number];

/** Where rounding to nearest leaves the format. */
export interface Overflow {
  /** The absolute value; null where float64 cannot hold it. */
  readonly from: number | null;
  /** Whether that value itself overflows: at a tie the even neighbour wins. */
  readonly inclusive: boolean;
  readonly to: "Infinity" | "NaN";
}

/** Facts about one number format. */
export interface NumberFormat {
  readonly id: FormatId;
  /** The name in a dump; null for a format that only operands have. */
  readonly dtype: FloatDType | null;
  readonly signBits: 1;
  readonly exponentBits: number;
  /** Bits that are stored; one more is implied. */
  readonly mantissaBits: number;
  readonly maxFinite: number;
  readonly minNormal: number;
  /** Null where the maker does not say. */
  readonly minSubnormal: number | null;
  /** Largest relative error of one rounding to nearest: half a unit in the last place at 1. */
  readonly unitRoundoff: number;
  /** Decimal digits that survive for certain: ⌊(mantissaBits) log10 2⌋. */
  readonly decimalDigits: number;
  /** Null for a format that only operands have: makers do not say what happens. */
  readonly overflow: Overflow | null;
  /** The unit of npu-diff's limits, half the unit roundoff; null where it has none. */
  readonly u: number | null;
  /** Where the bits are defined. */
  readonly source: string;
}

const IEEE = "IEEE 754-2019";
const OCP = "OCP 8-bit Floating Point Specification 1.0";

export const FORMATS: Readonly<Record<FormatId, NumberFormat>> = {
  "dtype/f64": stored("dtype/f64", "F64", 11, 52, IEEE),
  "dtype/f32": stored("dtype/f32", "F32", 8, 23, IEEE),
  "dtype/hf32": operand("dtype/hf32", 8, 11, "CANN, ATC option --allow_hf32"),
  "dtype/tf32": operand("dtype/tf32", 8, 10, "NVIDIA A100 Tensor Core GPU Architecture"),
  "dtype/bf16": stored("dtype/bf16", "BF16", 8, 7, "bfloat16: the upper half of binary32"),
  "dtype/f16": stored("dtype/f16", "F16", 5, 10, IEEE),
  // The largest exponent holds numbers too, but for the mantissa of all ones, NaN; no infinities.
  "dtype/f8_e4m3": {
    ...stored("dtype/f8_e4m3", "F8_E4M3", 4, 3, OCP),
    maxFinite: 448,
    overflow: { from: 464, inclusive: false, to: "NaN" },
  },
  "dtype/f8_e5m2": stored("dtype/f8_e5m2", "F8_E5M2", 5, 2, OCP),
};

/** Whether `id` names a number format. */
export function isFormatId(id: string): id is FormatId {
  return Object.hasOwn(FORMATS, id);
}

function stored(
  id: FormatId,
  dtype: FloatDType,
  exponentBits: number,
  mantissaBits: number,
  source: string,
): NumberFormat {
  const facts = ofBits(exponentBits, mantissaBits);
  // The largest value ends in ones, so that a tie goes to the even power of two above it.
  const from = facts.maxFinite + facts.unitRoundoff * 2 ** maxExponentOf(exponentBits);
  return {
    id,
    dtype,
    ...facts,
    minSubnormal: facts.minNormal * 2 ** -mantissaBits,
    overflow: { from: Number.isFinite(from) ? from : null, inclusive: true, to: "Infinity" },
    u: DTYPES[dtype].u,
    source,
  };
}

function operand(
  id: FormatId,
  exponentBits: number,
  mantissaBits: number,
  source: string,
): NumberFormat {
  const facts = ofBits(exponentBits, mantissaBits);
  return { id, dtype: null, ...facts, minSubnormal: null, overflow: null, u: null, source };
}

function ofBits(exponentBits: number, mantissaBits: number) {
  const maxExponent = maxExponentOf(exponentBits);
  return {
    signBits: 1,
    exponentBits,
    mantissaBits,
    maxFinite: (2 - 2 ** -mantissaBits) * 2 ** maxExponent,
    minNormal: 2 ** (1 - maxExponent),
    unitRoundoff: 2 ** -(mantissaBits + 1),
    decimalDigits: Math.floor(mantissaBits * Math.log10(2)),
  } as const;
}

/** The exponent's bias, and where the largest exponent is kept for infinities the largest of a number. */
function maxExponentOf(exponentBits: number): number {
  return 2 ** (exponentBits - 1) - 1;
}
