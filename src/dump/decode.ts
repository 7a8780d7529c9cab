/**
 * From little-endian bytes to numbers, exactly: every value of every float
 * dtype is a float64, and every integer up to 2⁵³ too.
 */

import { DTYPES, type DType, type FloatDType, isFloatDType } from "../core/dtype.ts";
import { NpuDiffError } from "../core/errors.ts";

const HOST_IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** The layout of a small binary float: sign, exponent, mantissa, from the top. */
interface SmallFloat {
  readonly exponentBits: number;
  readonly mantissaBits: number;
  /** E4M3 has no infinities: of the largest exponent, only the last mantissa is NaN. */
  readonly infinities: boolean;
}

const SMALL_FLOATS = {
  F16: { exponentBits: 5, mantissaBits: 10, infinities: true },
  BF16: { exponentBits: 8, mantissaBits: 7, infinities: true },
  F8_E4M3: { exponentBits: 4, mantissaBits: 3, infinities: false },
  F8_E5M2: { exponentBits: 5, mantissaBits: 2, infinities: true },
} as const satisfies Partial<Record<FloatDType, SmallFloat>>;

type SmallFloatDType = keyof typeof SMALL_FLOATS;

const tables = new Map<SmallFloatDType, Float64Array>();

/** The value of each bit pattern of a small float; every NaN pattern is NaN. Made once. */
function tableOf(dtype: SmallFloatDType): Float64Array {
  const known = tables.get(dtype);
  if (known !== undefined) return known;
  const { exponentBits, mantissaBits, infinities }: SmallFloat = SMALL_FLOATS[dtype];
  const patterns = 2 ** (1 + exponentBits + mantissaBits);
  const mantissas = 2 ** mantissaBits;
  const top = 2 ** exponentBits - 1;
  const bias = (top - 1) / 2;
  const table = new Float64Array(patterns);
  for (let pattern = 0; pattern < patterns / 2; pattern++) {
    const exponent = Math.floor(pattern / mantissas);
    const fraction = (pattern % mantissas) / mantissas;
    let value =
      exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias);
    if (exponent === top) {
      if (infinities) value = fraction === 0 ? Infinity : NaN;
      else if (pattern % mantissas === mantissas - 1) value = NaN;
    }
    table[pattern] = value;
    table[pattern + patterns / 2] = -value;
  }
  tables.set(dtype, table);
  return table;
}

/**
 * Converts `bytes` (C-order, little-endian, any alignment) of `dtype` to float64, exactly.
 *
 * NaN patterns become NaN, infinities and signed zeros stay what they are.
 *
 * @param out one element for each of `bytes`; its length must be `bytes.length` over the item size
 * @throws RangeError where the two lengths disagree
 */
export function decodeInto(dtype: FloatDType, bytes: Uint8Array, out: Float64Array): void {
  const count = out.length;
  const { bytes: itemSize } = DTYPES[dtype];
  if (bytes.length !== count * itemSize) {
    throw new RangeError(`${bytes.length} bytes are not ${count} elements of ${dtype}`);
  }
  switch (dtype) {
    case "F64":
    case "F32":
      decodeWide(dtype, bytes, out);
      return;
    case "F16":
    case "BF16": {
      const table = tableOf(dtype);
      for (let i = 0, at = 0; i < count; i++, at += 2) {
        out[i] = table[(bytes[at] as number) | ((bytes[at + 1] as number) << 8)] as number;
      }
      return;
    }
    case "F8_E4M3":
    case "F8_E5M2": {
      const table = tableOf(dtype);
      for (let i = 0; i < count; i++) out[i] = table[bytes[i] as number] as number;
      return;
    }
  }
}

function decodeWide(dtype: "F64" | "F32", bytes: Uint8Array, out: Float64Array): void {
  const { buffer, byteOffset, byteLength } = bytes;
  if (HOST_IS_LITTLE_ENDIAN && byteOffset % DTYPES[dtype].bytes === 0) {
    out.set(
      dtype === "F64"
        ? new Float64Array(buffer, byteOffset, out.length)
        : new Float32Array(buffer, byteOffset, out.length),
    );
    return;
  }
  const view = new DataView(buffer, byteOffset, byteLength);
  for (let i = 0; i < out.length; i++) {
    out[i] = dtype === "F64" ? view.getFloat64(i * 8, true) : view.getFloat32(i * 4, true);
  }
}

/**
 * Reads `bytes` (little-endian, any alignment) as integers, for instance token
 * ids. BOOL gives 0 for 0 and 1 for the rest.
 *
 * @throws NpuDiffError `dump-corrupt` where `dtype` is no integer dtype, or an
 *   integer is beyond ±(2⁵³ − 1)
 * @throws RangeError where `bytes` is no whole number of elements
 */
export function readIntegers(dtype: DType, bytes: Uint8Array): Float64Array {
  if (isFloatDType(dtype)) {
    throw notIntegers(`elements of ${dtype}`, "integers (I64 I32 I16 I8 U8 BOOL)");
  }
  const count = bytes.length / DTYPES[dtype].bytes;
  if (!Number.isInteger(count)) {
    throw new RangeError(`${bytes.length} bytes are no whole number of elements of ${dtype}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Float64Array(count);
  for (let i = 0; i < count; i++) out[i] = integerAt(dtype, view, i);
  return out;
}

function integerAt(dtype: Exclude<DType, FloatDType>, view: DataView, index: number): number {
  switch (dtype) {
    case "I64": {
      const value = view.getBigInt64(index * 8, true);
      if (Number.isSafeInteger(Number(value))) return Number(value);
      throw notIntegers(`${value} at element ${index}`, "integers within ±(2^53 − 1)");
    }
    case "I32":
      return view.getInt32(index * 4, true);
    case "I16":
      return view.getInt16(index * 2, true);
    case "I8":
      return view.getInt8(index);
    case "U8":
      return view.getUint8(index);
    case "BOOL":
      return view.getUint8(index) === 0 ? 0 : 1;
  }
}

function notIntegers(found: string, expected: string): NpuDiffError {
  return new NpuDiffError("dump-corrupt", {
    what: "a tensor of integers holds something else",
    facts: [
      { label: "found", text: found },
      { label: "expected", text: expected },
    ],
    help: "capture the dump again",
  });
}
