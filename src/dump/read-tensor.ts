/** The values of one tensor as numbers, for whoever reads a dump without comparing it. */

import { counted } from "../core/counted.ts";
import { DTYPES, isFloatDType } from "../core/dtype.ts";
import { NpuDiffError } from "../core/errors.ts";
import { decodeInto, readIntegers } from "./decode.ts";
import { type Dump, dataBytes, type TensorEntry } from "./dump.ts";

/** Bytes that are read at once, a multiple of every item size. */
const BLOCK = 2 ** 20;

/**
 * All values of a tensor, in C order of `entry.shape`: 8 bytes of memory each. Every
 * float and every integer up to 2⁵³ is exact, BOOL is 0 or 1; NaN, infinities and signed
 * zeros stay what they are. A tensor without elements is an empty array.
 *
 * @param entry one of `dump.tensors`
 * @throws NpuDiffError `usage` where `entry` is of another dump or stores no values (`encoding` other than
 *   `dense`); `out-of-memory` where the values are too many to be held; `dump-corrupt` for an integer beyond 2⁵³;
 *   `dump-truncated` or `file-unreadable` where the file changed while it was open.
 * @throws RangeError where the dump was closed.
 */
export function readTensor(dump: Dump, entry: TensorEntry): Float64Array {
  if (!dump.tensors.includes(entry)) {
    throw cannot(
      entry,
      "an entry of another dump",
      `one of the tensors of ${dump.file}`,
      "take it from dump.tensors",
    );
  }
  if (entry.encoding !== "dense") {
    throw cannot(
      entry,
      `stored as ${entry.encoding}`,
      "dense",
      "read entry.stats, or capture it with npu-dump run --mode full",
    );
  }
  const { dtype } = entry;
  const { bytes: itemSize } = DTYPES[dtype];
  const values = allocate(entry);
  const total = dataBytes(entry);
  const buffer = new Uint8Array(Math.min(BLOCK, total));
  for (let offset = 0; offset < total; offset += BLOCK) {
    const bytes = buffer.subarray(0, Math.min(BLOCK, total - offset));
    dump.read(entry, offset, bytes);
    const from = offset / itemSize;
    const to = from + bytes.length / itemSize;
    if (isFloatDType(dtype)) decodeInto(dtype, bytes, values.subarray(from, to));
    else values.set(readIntegers(dtype, bytes), from);
  }
  return values;
}

function allocate(entry: TensorEntry): Float64Array {
  try {
    return new Float64Array(entry.elements);
  } catch (cause) {
    throw new NpuDiffError("out-of-memory", {
      what: `${entry.name} is too large to be held as numbers`,
      facts: [
        { label: "elements", text: String(entry.elements) },
        { label: "needed", text: counted(entry.elements * 8, "byte") },
      ],
      help: "read its bytes piece by piece with dump.read",
      cause,
    });
  }
}

function cannot(
  { name }: TensorEntry,
  found: string,
  expected: string,
  help: string,
): NpuDiffError {
  return new NpuDiffError("usage", {
    what: `${name} has no values to read`,
    facts: [
      { label: "found", text: found },
      { label: "expected", text: expected },
    ],
    help,
  });
}
