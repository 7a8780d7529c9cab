/** The header of a .npy file (NumPy's format, versions 1 to 3): a Python literal, read by its grammar, never evaluated. */

import { counted } from "../../core/counted.ts";
import type { DType } from "../../core/dtype.ts";

/** How elements become the bytes of one of our dtypes. */
export type Conversion =
  | { readonly kind: "none" }
  /** Big-endian: the bytes of each element of this size are turned round. */
  | { readonly kind: "swap"; readonly bytes: number }
  /** An unsigned integer that needs the next larger signed one. */
  | { readonly kind: "widen"; readonly bytes: 2 | 4 | 8; readonly bigEndian: boolean };

export interface NpyHeader {
  readonly dtype: DType;
  readonly conversion: Conversion;
  readonly fortran: boolean;
  readonly shape: readonly number[];
  /** Bytes before the data. */
  readonly length: number;
  /** Whether the dtype is a guess: NumPy writes several formats of one byte alike. */
  readonly guessed: boolean;
}

export interface NpyProblem {
  readonly problem: string;
  /** Whether it is a whole array of what no dump holds (texts, Python objects, complex numbers), rather than damage. */
  readonly isWhole: boolean;
}

export const NPY_MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59] as const;

/** Bytes of a header: NumPy itself refuses more than 10,000 characters. */
export const MAX_NPY_HEADER = 10_000;

/** Bytes before the literal. */
const PREFIX = 12;

const HEADER =
  /^\s*\{\s*'descr'\s*:\s*(?<descr>'[^'\\]*'|\[.*\])\s*,\s*'fortran_order'\s*:\s*(?<fortran>True|False)\s*,\s*'shape'\s*:\s*\(\s*(?<shape>(?:\d{1,16}L?\s*,\s*)*(?:\d{1,16}L?\s*)?)\)\s*,?\s*\}\s*$/su;

/** By kind and size, as NumPy's type strings have them. ml_dtypes' bfloat16 is V2, its float8_e5m2 f1, its other formats of one byte V1. */
const DTYPE_OF: Readonly<Record<string, DType>> = {
  f8: "F64",
  f4: "F32",
  f2: "F16",
  V2: "BF16",
  f1: "F8_E5M2",
  V1: "F8_E4M3",
  i8: "I64",
  i4: "I32",
  i2: "I16",
  i1: "I8",
  u1: "U8",
  b1: "BOOL",
};

const WIDENED: Readonly<Record<string, { readonly dtype: DType; readonly bytes: 2 | 4 | 8 }>> = {
  u2: { dtype: "I32", bytes: 2 },
  u4: { dtype: "I64", bytes: 4 },
  u8: { dtype: "I64", bytes: 8 },
};

/** Reads the header at the start of `bytes`, the first bytes of the file. */
export function readNpyHeader(bytes: Uint8Array): NpyHeader | NpyProblem {
  if (bytes.length < PREFIX || NPY_MAGIC.some((byte, i) => bytes[i] !== byte)) {
    return damaged("no NumPy header");
  }
  const major = bytes[6] as number;
  if (major < 1 || major > 3) return damaged(`version ${major} of the format`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const from = major === 1 ? 10 : PREFIX;
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > MAX_NPY_HEADER || from + length > bytes.length) {
    return damaged(`a header of ${counted(length, "byte")}`);
  }
  const text = new TextDecoder(major === 3 ? "utf-8" : "latin1").decode(
    bytes.subarray(from, from + length),
  );
  const { descr = "", fortran, shape = "" } = HEADER.exec(text)?.groups ?? {};
  if (descr === "") return damaged("a header that is none of NumPy's");
  const type = /^'([<>|=])([a-zA-Z])(\d{1,4})(?:\[[a-zA-Z0-9]+\])?'$/.exec(descr);
  if (type === null) {
    return { problem: `elements of ${descr.slice(0, 80)}`, isWhole: true };
  }
  const [, order, kind = "", size = ""] = type;
  const name = `${kind}${size}`;
  // Python 2 wrote long integers as 3L.
  const axes = shape.split(",").map((axis) => axis.trim().replace("L", ""));
  const rest = {
    fortran: fortran === "True",
    shape: axes.filter((axis) => axis !== "").map(Number),
    length: from + length,
    guessed: name === "V1",
  };
  const dtype = DTYPE_OF[name];
  if (dtype !== undefined) {
    const swap = order === ">" && Number(size) > 1;
    return {
      dtype,
      conversion: swap ? { kind: "swap", bytes: Number(size) } : { kind: "none" },
      ...rest,
    };
  }
  const widened = WIDENED[name];
  if (widened !== undefined) {
    const { bytes: wide } = widened;
    return {
      dtype: widened.dtype,
      conversion: { kind: "widen", bytes: wide, bigEndian: order === ">" },
      ...rest,
    };
  }
  return { problem: `elements of ${descr}`, isWhole: true };
}

function damaged(problem: string): NpyProblem {
  return { problem, isWhole: false };
}
