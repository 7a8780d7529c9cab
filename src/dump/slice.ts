/** A rank's slice of a tensor, as the rows of its file hold it. */

import type { TensorEntry } from "./dump.ts";
import type { Share } from "./shards.ts";

/** Which part of a whole tensor a slice is. */
export interface Slice {
  /** Shape of the whole tensor, as the rows say. */
  readonly whole: readonly number[];
  readonly axis: number;
  /** First index along the axis, and how many; what lies beyond the whole is padding. */
  readonly start: number;
  readonly length: number;
}

/**
 * A tensor of one file. Of a slice `shape`, `elements` and `chunks` are what
 * the file holds, while the rows give the shape of the whole tensor.
 */
export interface RankEntry extends TensorEntry {
  readonly slice?: Slice;
}

/** What is wrong with a share for a tensor of this shape and type; null where nothing is. */
export function misfit(
  share: Share,
  {
    shape,
    encoding,
    isFloat,
  }: {
    readonly shape: readonly number[];
    readonly encoding: TensorEntry["encoding"];
    readonly isFloat: boolean;
  },
): { readonly found: string; readonly expected: string } | null {
  if (share.kind === "replica" || share.kind === "own") {
    // Nobody could tell whether sketches of several ranks are of one tensor: they are not read.
    if (encoding !== "sketch") return null;
    return { found: "a sketch", expected: "the tensor itself, or its statistics" };
  }
  if (encoding !== "dense") {
    return { found: `${encoding} of a part of the tensor`, expected: "the part itself" };
  }
  if (share.kind === "term") {
    return isFloat ? null : { found: "a partial sum of integers", expected: "a float dtype" };
  }
  if (share.axis < shape.length) return null;
  const expected = `an axis of [${shape.join(", ")}]`;
  return { found: `axis ${share.axis}`, expected };
}
