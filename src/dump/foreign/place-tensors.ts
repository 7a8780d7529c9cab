/**
 * Puts the tensors of another format where the contract has them: under
 * canonical names, one tensor a sample, tokens along axis 0.
 */

import { DTYPES } from "../../core/dtype.ts";
import { tensorName } from "../contract.ts";
import { canonicalName, nameAlone, placedName } from "./canonical-names.ts";
import type { ForeignTensor, Piece } from "./foreign-tensor.ts";

/** A tensor with its place. */
export interface PlacedTensor extends ForeignTensor {
  /** As the file calls it. */
  readonly module: string;
  readonly sample: number;
  readonly step: number;
}

/** Axes of a canonical tensor of one sample: tokens and width; of ids the tokens alone. */
function axesOf(name: string): number | null {
  if (name === "input_ids" || name === "position_ids") return 1;
  return tensorName(name).role === "other" ? null : 2;
}

/**
 * Places `tensors` in their order. A canonical name that two would get goes to
 * neither: which of them is meant cannot be told. A tensor of a batch,
 * `[B, T, …]`, is B samples, unless its name says which sample it is.
 */
export function placeTensors(tensors: readonly ForeignTensor[]): readonly PlacedTensor[] {
  const named = tensors.map((tensor) => {
    const { name: raw, sample, step } = placedName(tensor.name);
    const name = canonicalName(raw) ?? (tensors.length === 1 ? nameAlone(raw) : raw);
    const place = { sample: tensor.sample ?? sample, step: tensor.step ?? step ?? 0 };
    return { tensor, raw, name, ...place };
  });
  const claims = new Map<string, number>();
  const keyOf = ({ tensor, name, sample, step }: (typeof named)[number]): string =>
    `${sample ?? ""}.${step}.${tensor.rank ?? 0}.${name}`;
  for (const one of named) claims.set(keyOf(one), (claims.get(keyOf(one)) ?? 0) + 1);
  return named.flatMap((one): PlacedTensor[] => {
    const { tensor, raw, sample, step } = one;
    const name = claims.get(keyOf(one)) === 1 ? one.name : raw;
    const placed = { ...tensor, name, module: raw, step };
    // The next token's alone.
    if (name === "logits" && tensor.shape.length === 1) {
      return [{ ...placed, sample: sample ?? 0, shape: [1, ...tensor.shape] }];
    }
    const axes = axesOf(name);
    if (axes === null || tensor.shape.length !== axes + 1) {
      return [{ ...placed, sample: sample ?? 0 }];
    }
    const [batch = 0, ...shape] = tensor.shape;
    if (sample !== null) {
      return [{ ...placed, sample, shape: batch === 1 ? shape : tensor.shape }];
    }
    return Array.from({ length: batch }, (_, i) => ({
      ...placed,
      sample: i,
      shape,
      pieces: tensor.pieces === null ? null : rowOf(tensor.pieces, shape, tensor, i),
    }));
  });
}

/** The pieces of the `index`-th of the equal parts that a tensor has along axis 0. */
function rowOf(
  pieces: readonly Piece[],
  shape: readonly number[],
  { dtype }: ForeignTensor,
  index: number,
): readonly Piece[] {
  const bytes = shape.reduce((product, length) => product * length, DTYPES[dtype].bytes);
  return slicePieces(pieces, index * bytes, bytes);
}

/** The `length` bytes of `pieces` from `offset` on. */
export function slicePieces(
  pieces: readonly Piece[],
  offset: number,
  length: number,
): readonly Piece[] {
  const found: Piece[] = [];
  let at = 0;
  for (const { source, position, bytes } of pieces) {
    const from = Math.max(offset, at);
    const to = Math.min(offset + length, at + bytes);
    if (from < to) found.push({ source, position: position + from - at, bytes: to - from });
    at += bytes;
  }
  return found;
}
