/** The largest difference between two tensors, element by element. */

import { DTYPES, type FloatDType } from "../../core/dtype.ts";
import { decodeInto } from "../../dump/decode.ts";
import type { Dump, TensorEntry } from "../../dump/dump.ts";

/** Elements that are in memory at a time. */
const ELEMENTS_AT_ONCE = 2 ** 17;

/** A dense float tensor of a dump. */
export interface FloatTensor {
  readonly dump: Dump;
  readonly entry: TensorEntry & { readonly dtype: FloatDType };
}

/** What two tensors differ by. */
export interface ElementDifference {
  /** 0 where every pair is the same number, or NaN on both sides; infinite where one is not finite and the other is another. */
  readonly maxAbs: number;
  /** The element, in C order, that has it first; 0 without elements. */
  readonly at: number;
  /** Whether every bit is the same. */
  readonly identical: boolean;
}

/** Compares the first `elements` of two tensors of one dtype, in bounded memory. */
export function largestDifference(
  a: FloatTensor,
  b: FloatTensor,
  elements: number,
): ElementDifference {
  const { dtype } = a.entry;
  const size = DTYPES[dtype].bytes;
  let [maxAbs, at, identical] = [0, 0, true];
  for (let from = 0; from < elements; from += ELEMENTS_AT_ONCE) {
    const count = Math.min(ELEMENTS_AT_ONCE, elements - from);
    const [mine, theirs] = [new Uint8Array(count * size), new Uint8Array(count * size)];
    a.dump.read(a.entry, from * size, mine);
    b.dump.read(b.entry, from * size, theirs);
    if (mine.every((byte, i) => byte === theirs[i])) continue;
    identical = false;
    const [x, y] = [new Float64Array(count), new Float64Array(count)];
    decodeInto(dtype, mine, x);
    decodeInto(dtype, theirs, y);
    for (let i = 0; i < count; i += 1) {
      const difference = distance(x[i] as number, y[i] as number);
      if (difference > maxAbs) [maxAbs, at] = [difference, from + i];
    }
  }
  return { maxAbs, at, identical };
}

function distance(x: number, y: number): number {
  if (Object.is(x, y) || x === y) return 0;
  const difference = Math.abs(x - y);
  return Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
}
