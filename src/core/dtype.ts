/**
 * Element types of a dump, by the names that safetensors uses, and what the
 * number formats behind them can hold.
 */

/** Every dtype that a dump may name. */
export type DType =
  | "F64"
  | "F32"
  | "F16"
  | "BF16"
  | "F8_E4M3"
  | "F8_E5M2"
  | "I64"
  | "I32"
  | "I16"
  | "I8"
  | "U8"
  | "BOOL";

/** The dtypes that hold real numbers: only these are measured. */
export type FloatDType = "F64" | "F32" | "F16" | "BF16" | "F8_E4M3" | "F8_E5M2";

/** Facts about one dtype. */
export interface DTypeInfo {
  /** Size of one element in bytes. */
  readonly bytes: 1 | 2 | 4 | 8;
  /**
   * A quarter of a unit in the last place at 1, the unit in which the limits of
   * the noise floor were measured; null for integers. Storing Gaussian data
   * once costs a relative error of about 0.85 of it.
   */
  readonly u: number | null;
  /** The largest finite value; null for integers. */
  readonly maxFinite: number | null;
}

const BF16_MAX = (2 - 2 ** -7) * 2 ** 127;
const F32_MAX = (2 - 2 ** -23) * 2 ** 127;

export const DTYPES = {
  F64: { bytes: 8, u: 2 ** -54, maxFinite: Number.MAX_VALUE },
  F32: { bytes: 4, u: 2 ** -25, maxFinite: F32_MAX },
  F16: { bytes: 2, u: 2 ** -12, maxFinite: 65504 },
  BF16: { bytes: 2, u: 2 ** -9, maxFinite: BF16_MAX },
  // OCP FP8: E4M3 spends the infinities' patterns on values up to 448.
  F8_E4M3: { bytes: 1, u: 2 ** -5, maxFinite: 448 },
  F8_E5M2: { bytes: 1, u: 2 ** -4, maxFinite: 57344 },
  I64: { bytes: 8, u: null, maxFinite: null },
  I32: { bytes: 4, u: null, maxFinite: null },
  I16: { bytes: 2, u: null, maxFinite: null },
  I8: { bytes: 1, u: null, maxFinite: null },
  U8: { bytes: 1, u: null, maxFinite: null },
  BOOL: { bytes: 1, u: null, maxFinite: null },
} as const satisfies Record<DType, DTypeInfo>;

/** Whether `name` is one of the dtypes that a dump may name. */
export function isDType(name: string): name is DType {
  return Object.hasOwn(DTYPES, name);
}

/** Whether elements of `dtype` are real numbers. */
export function isFloatDType(dtype: DType): dtype is FloatDType {
  return DTYPES[dtype].u !== null;
}
