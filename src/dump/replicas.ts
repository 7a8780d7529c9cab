/** Whether the ranks that hold the same tensor hold the same bits. */

import { DTYPES, isFloatDType } from "../core/dtype.ts";
import { NpuDiffError } from "../core/errors.ts";
import type { Part } from "./assembly.ts";
import { decodeInto, readIntegers } from "./decode.ts";
import { dataBytes, type TensorStats } from "./dump.ts";
import { describeRank, placeName } from "./rank-errors.ts";

/** Bytes of each rank that are in memory at a time. */
const BYTES_AT_ONCE = 2 ** 20;

let buffers: readonly [Buffer, Buffer] | null = null;

/** Made once, and only where there are replicas. */
function takeBuffers(): readonly [Buffer, Buffer] {
  return (buffers ??= [Buffer.alloc(BYTES_AT_ONCE), Buffer.alloc(BYTES_AT_ONCE)]);
}

/**
 * Reads all of a replicated tensor on every rank.
 *
 * @throws NpuDiffError `replicas-differ`
 */
export function refuseUnequalReplicas([first, ...others]: readonly [Part, ...Part[]]): void {
  for (const other of others) {
    if (!sameStats(first.entry.stats, other.entry.stats) && first.entry.encoding === "stats") {
      throw differ(first, other, "their statistics", ["", ""]);
    }
  }
  const size = dataBytes(first.entry);
  for (let from = 0; from < size && others.length > 0; from += BYTES_AT_ONCE) {
    const length = Math.min(BYTES_AT_ONCE, size - from);
    const [mine, theirs] = takeBuffers().map((buffer) => buffer.subarray(0, length)) as [
      Buffer,
      Buffer,
    ];
    first.dump.read(first.entry, from, mine);
    for (const other of others) {
      other.dump.read(other.entry, from, theirs);
      if (!mine.equals(theirs)) throw differAt(first, other, from, mine, theirs);
    }
  }
}

function differAt(
  first: Part,
  other: Part,
  from: number,
  mine: Uint8Array,
  theirs: Uint8Array,
): NpuDiffError {
  const { dtype, shape } = first.entry;
  const { bytes: size } = DTYPES[dtype];
  const at = Math.floor(mine.findIndex((byte, i) => byte !== theirs[i]) / size);
  const show = (bytes: Uint8Array): string => {
    const element = bytes.subarray(at * size, (at + 1) * size);
    const number = new Float64Array(1);
    if (isFloatDType(dtype)) decodeInto(dtype, element, number);
    const [value] = isFloatDType(dtype) ? number : readIntegers(dtype, element);
    return `${String(value)} (0x${Buffer.from(element.toReversed()).toString("hex")})`;
  };
  const place: number[] = [];
  let flat = from / size + at;
  for (const length of shape.toReversed()) {
    place.unshift(flat % length);
    flat = Math.floor(flat / length);
  }
  return differ(first, other, `element [${place.join(", ")}]`, [show(mine), show(theirs)]);
}

function differ(
  first: Part,
  other: Part,
  where: string,
  [mine, theirs]: readonly [string, string],
): NpuDiffError {
  return new NpuDiffError("replicas-differ", {
    what: `the replicas of ${placeName(first.entry)} are not equal`,
    facts: [
      { label: "first at", text: where },
      describeRank(first.dump, mine),
      describeRank(other.dump, theirs),
    ],
    help: "where each rank computes a part of it, say so in run.shards; else look for a collective that did not reach every rank",
  });
}

function sameStats(a: TensorStats | null, b: TensorStats | null): boolean {
  if (a === null || b === null) return a === b;
  const keys = Object.keys(a) as (keyof TensorStats)[];
  return keys.every((key) => Object.is(a[key], b[key]));
}
