/**
 * A job: some rows of one tensor on all sides, where their bytes lie, and what is
 * to be made of them. Jobs cross threads as numbers, so that whoever runs one
 * needs to know neither dumps nor their formats.
 */

import type { FloatDType } from "../../core/dtype.ts";
import type { Located } from "../../dump/dump.ts";
import { END_TO_END, type Join, type StrandWidth } from "../../dump/join.ts";

/** dtypes in the order of the kernel's numbers. */
export const KERNEL_DTYPES: readonly FloatDType[] = [
  "F32",
  "F16",
  "BF16",
  "F8_E4M3",
  "F8_E5M2",
  "F64",
];

/** A row that has more elements than this is in memory in pieces. */
export const MAX_PIECE_ELEMENTS: number = 2 ** 18;

/** One side's rows, one after the other: where their bytes lie, all together rows × width elements. */
export interface JobSide extends Located {
  readonly dtype: FloatDType;
  /** Factor that its values are multiplied by; 1 for nearly all. */
  readonly factor: number;
}

export interface Job {
  readonly rows: number;
  readonly width: number;
  /** The reference, and at least one other side that is set beside it: a candidate, then its floors. */
  readonly sides: readonly JobSide[];
  /** Largest finite value of the candidate's dtype, and how far the reference must lie from it for a saturation. */
  readonly maxFinite: number;
  readonly saturationDistance: number;
  /** Whether to count elements of the first two sides whose bytes differ. */
  readonly bits: boolean;
  /** Of logits: the column of each row's true token; −1 where it is not known, beyond the width where it is no token. */
  readonly truth: readonly number[] | null;
  /** The error that rows are raised to when channels are summed; null where no sums of channels are asked for. */
  readonly leastRowError: number | null;
}

/** Numbers before those of the sides. */
const HEAD = 8;
const SIDE_NUMBERS = 5;
const STRAND_NUMBERS = 3;
const RANGE_NUMBERS = 3;

/** Ways to join strands, in the order of their numbers. */
const JOINS: readonly Join["kind"][] = ["end to end", "side by side", "sum"];

/** How many numbers `job` is written as. */
export function numbersOf({ sides, truth }: Job): number {
  const strands = sides.flatMap((side) => side.strands);
  const ranges = strands.reduce((sum, strand) => sum + strand.length, 0);
  return (
    HEAD +
    SIDE_NUMBERS * sides.length +
    STRAND_NUMBERS * strands.length +
    RANGE_NUMBERS * ranges +
    (truth?.length ?? 0)
  );
}

/** Writes `job` to the start of `to`. */
export function encodeJob(job: Job, to: Float64Array): void {
  const { sides, truth } = job;
  to.set([
    job.rows,
    job.width,
    sides.length,
    job.maxFinite,
    job.saturationDistance,
    job.bits ? 1 : 0,
    truth === null ? 0 : 1,
    job.leastRowError ?? -1,
  ]);
  let at = HEAD;
  for (const { dtype, factor, join, strands } of sides) {
    to[at++] = KERNEL_DTYPES.indexOf(dtype);
    to[at++] = factor;
    to[at++] = JOINS.indexOf(join.kind);
    to[at++] = join.kind === "sum" ? KERNEL_DTYPES.indexOf(join.dtype) : -1;
    to[at++] = strands.length;
    for (const [i, ranges] of strands.entries()) {
      const width = join.kind === "side by side" ? join.widths[i] : undefined;
      to[at++] = width?.stored ?? 0;
      to[at++] = width?.used ?? 0;
      to[at++] = ranges.length;
      for (const { descriptor, position, bytes } of ranges) {
        to[at++] = descriptor;
        to[at++] = position;
        to[at++] = bytes;
      }
    }
  }
  if (truth !== null) to.set(truth, at);
}

/** What {@link encodeJob} wrote. */
export function decodeJob(from: Float64Array): Job {
  const next = reader(from);
  const [rows, width, count, maxFinite, saturationDistance, bits, isLogits, least] = [
    ...Array.from({ length: HEAD }, next),
  ] as [number, number, number, number, number, number, number, number];
  const sides = Array.from({ length: count }, (): JobSide => {
    const dtype = KERNEL_DTYPES[next()] as FloatDType;
    const factor = next();
    const kind = JOINS[next()] as Join["kind"];
    const terms = next();
    const read = Array.from({ length: next() }, () => {
      const width = { stored: next(), used: next() };
      const ranges = Array.from({ length: next() }, () => ({
        descriptor: next(),
        position: next(),
        bytes: next(),
      }));
      return { width, ranges };
    });
    const strands = read.map(({ ranges }) => ranges);
    return { dtype, factor, join: joinOf(kind, terms, read), strands };
  });
  return {
    rows,
    width,
    sides,
    maxFinite,
    saturationDistance,
    bits: bits === 1,
    truth: isLogits === 1 ? Array.from({ length: rows }, next) : null,
    leastRowError: least === -1 ? null : least,
  };
}

function joinOf(
  kind: Join["kind"],
  terms: number,
  strands: readonly { readonly width: StrandWidth }[],
): Join {
  switch (kind) {
    case "end to end":
      return END_TO_END;
    case "side by side":
      return { kind, widths: strands.map(({ width }) => width) };
    case "sum":
      return { kind, dtype: KERNEL_DTYPES[terms] as FloatDType };
  }
}

function reader(from: Float64Array): () => number {
  let at = 0;
  return () => from[at++] as number;
}
