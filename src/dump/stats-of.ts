/** Statistics of a tensor whose file stores none. */

import { DTYPES, isFloatDType } from "../core/dtype.ts";
import { isNpuDiffError } from "../core/errors.ts";
import { ScaledSum } from "../core/scaled-sum.ts";
import { decodeInto, readIntegers } from "./decode.ts";
import { type Dump, dataBytes, type TensorEntry, type TensorStats } from "./dump.ts";

const BLOCK_ELEMENTS = 2 ** 18;

/** Beyond these, squares leave the range of float64. */
const LARGE = 2 ** 400;
const SCALE = 600;

/**
 * Statistics over the finite values of a dense tensor; NaN where it has no finite value. Null where it is not dense,
 * or holds an integer beyond 2^53.
 */
export function statsOf(dump: Dump, entry: TensorEntry): TensorStats | null {
  if (entry.encoding !== "dense") return null;
  const sum = new ScaledSum();
  const squares = new ScaledSum();
  let [min, max, finite] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  const odd = { nan: 0, posInf: 0, negInf: 0 };
  for (const values of blocks(dump, entry)) {
    if (values === null) return null;
    for (const value of values) {
      if (!Number.isFinite(value)) {
        odd[Number.isNaN(value) ? "nan" : value > 0 ? "posInf" : "negInf"] += 1;
        continue;
      }
      finite += 1;
      if (value < min) min = value;
      if (value > max) max = value;
      const size = Math.abs(value);
      const exponent = size > LARGE ? SCALE : size < 1 / LARGE ? -SCALE : 0;
      const scaled = value * 2 ** -exponent;
      sum.add(scaled, exponent);
      squares.add(scaled * scaled, 2 * exponent);
    }
  }
  if (finite === 0) {
    return { min: Number.NaN, max: Number.NaN, mean: Number.NaN, rms: Number.NaN, ...odd };
  }
  return { min, max, mean: sum.mean(finite), rms: squares.rootMean(finite), ...odd };
}

/** The values in order, block by block; null where they are no float64. */
function* blocks(dump: Dump, entry: TensorEntry): Generator<Float64Array | null, void, undefined> {
  const { dtype } = entry;
  const block = BLOCK_ELEMENTS * DTYPES[dtype].bytes;
  const size = dataBytes(entry);
  for (let done = 0; done < size; done += block) {
    const bytes = new Uint8Array(Math.min(block, size - done));
    dump.read(entry, done, bytes);
    if (isFloatDType(dtype)) {
      const values = new Float64Array(bytes.length / DTYPES[dtype].bytes);
      decodeInto(dtype, bytes, values);
      yield values;
      continue;
    }
    try {
      yield readIntegers(dtype, bytes);
    } catch (error) {
      if (!isNpuDiffError(error, "dump-corrupt")) throw error;
      yield null;
    }
  }
}
