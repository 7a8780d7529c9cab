/**
 * The input of a plain module, which stands in for token ids where there are
 * none.
 */

import { DTYPES, isFloatDType } from "../core/dtype.ts";
import { NpuDiffError } from "../core/errors.ts";
import { decodeInto, readIntegers } from "../dump/decode.ts";
import type { Dump, TensorEntry } from "../dump/dump.ts";
import { sameShape } from "./shapes.ts";
import { type OtherSide, tokenTable, UNLIKE_REFERENCE } from "./tokens.ts";

/** Name under which the first tensor argument of a plain module is stored. */
export const INPUT_NAME = "input.0";

/** Elements that are in memory at a time. */
const ELEMENTS_AT_ONCE = 2 ** 16;

/**
 * Checks that `input.0` agrees on both sides, sample by sample: exactly in one
 * dtype, to the last place of the coarser of two.
 *
 * @returns the number of samples checked, 0 where neither side stored an input.
 * @throws NpuDiffError the code of {@link UNLIKE_REFERENCE}.
 */
export function checkInputs(reference: Dump, other: Dump, otherLabel: OtherSide): number {
  const mine = tokenTable(reference, INPUT_NAME);
  const theirs = tokenTable(other, INPUT_NAME);
  for (const key of new Set([...mine.keys(), ...theirs.keys()])) {
    const a = mine.get(key);
    const b = theirs.get(key);
    if (a !== undefined && b !== undefined && inputsAgree(reference, a, other, b)) continue;
    const sample = key.split(".")[0] ?? "";
    const describe = (dump: Dump, entry: TensorEntry | undefined): string =>
      entry === undefined
        ? `${dump.file}   sample ${sample}: no ${INPUT_NAME}`
        : `${dump.file}   sample ${sample}: ${INPUT_NAME} ${entry.dtype} [${entry.shape.join(", ")}]`;
    throw new NpuDiffError(UNLIKE_REFERENCE[otherLabel], {
      what: "the dumps were made from different inputs",
      facts: [
        { label: "reference", text: describe(reference, a) },
        { label: otherLabel, text: describe(other, b) },
      ],
      help: "run both sides on the same input tensor",
    });
  }
  return mine.size;
}

function inputsAgree(reference: Dump, a: TensorEntry, other: Dump, b: TensorEntry): boolean {
  if (!sameShape(a.shape, b.shape) || a.encoding !== "dense" || b.encoding !== "dense")
    return false;
  const coarser = Math.max(DTYPES[a.dtype].u ?? 0, DTYPES[b.dtype].u ?? 0);
  // Two neighbours are 4 u apart, in units of the larger.
  const tolerance = a.dtype === b.dtype ? 0 : 4 * coarser;
  for (let from = 0; from < a.elements; from += ELEMENTS_AT_ONCE) {
    const count = Math.min(ELEMENTS_AT_ONCE, a.elements - from);
    const mine = readNumbers(reference, a, from, count);
    const theirs = readNumbers(other, b, from, count);
    const differs = mine.some((x, index) => {
      const y = theirs[index] ?? Number.NaN;
      if (Object.is(x, y) || x === y) return false;
      return !(Math.abs(y - x) <= tolerance * Math.max(Math.abs(x), Math.abs(y)));
    });
    if (differs) return false;
  }
  return true;
}

function readNumbers(dump: Dump, entry: TensorEntry, from: number, count: number): Float64Array {
  const size = DTYPES[entry.dtype].bytes;
  const bytes = new Uint8Array(count * size);
  dump.read(entry, from * size, bytes);
  if (!isFloatDType(entry.dtype)) return readIntegers(entry.dtype, bytes);
  const values = new Float64Array(count);
  decodeInto(entry.dtype, bytes, values);
  return values;
}
