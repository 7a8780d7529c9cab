/** Stored weights as float32. */

import { DTYPES, type FloatDType } from "../../core/dtype.ts";
import { decodeInto } from "../decode.ts";

/** Elements that are float64 on their way. */
const PIECE = 2 ** 14;

/**
 * Converts `bytes` (C-order, little-endian) of `dtype` to float32: exactly but for F64, which is rounded to nearest.
 *
 * @param out one element for each of `bytes`
 */
export function castToFloat32(dtype: FloatDType, bytes: Uint8Array, out: Float32Array): void {
  const { buffer, byteOffset } = bytes;
  if (dtype === "BF16" && byteOffset % 2 === 0) {
    // The upper half of a float32: an eighth of the time that float64 takes on the way.
    const halves = new Uint16Array(buffer, byteOffset, out.length);
    const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
    for (let i = 0; i < out.length; i += 1) bits[i] = (halves[i] as number) << 16;
    return;
  }
  const size = DTYPES[dtype].bytes;
  const piece = new Float64Array(Math.min(PIECE, out.length));
  for (let done = 0; done < out.length; done += PIECE) {
    const count = Math.min(PIECE, out.length - done);
    const values = piece.subarray(0, count);
    decodeInto(dtype, bytes.subarray(done * size, (done + count) * size), values);
    out.set(values, done);
  }
}
