/**
 * Puts the tensors of another format where the contract has them: under
 * canonical names, one tensor a sample, tokens along axis 0.
 */

import { DTYPES, isFloatDType } from "../../core/dtype.ts";
import { tensorName } from "../contract.ts";
import { isHiddenState, nameAlone, placedName } from "./canonical-names.ts";
import type { ForeignTensor, Piece } from "./foreign-tensor.ts";
import { namesOfFile } from "./names-of-file.ts";
import { type Kept, type PaddedBatch, paddedBatch } from "./padding.ts";

/** A tensor with its place. */
export interface PlacedTensor extends ForeignTensor {
  /** As the file calls it. */
  readonly module: string;
  readonly sample: number;
  readonly step: number;
}

/** `input_ids` and `position_ids`, also those that lie in a dictionary of inputs. */
function idsName(raw: string, { dtype }: ForeignTensor): string | null {
  return isFloatDType(dtype)
    ? null
    : (/(?:^|[./])(input_ids|position_ids)$/u.exec(raw)?.[1] ?? null);
}

/** Axes of a canonical tensor of one sample: tokens and width; of ids the tokens alone. */
function axesOf(name: string): number | null {
  if (name === "input_ids" || name === "position_ids") return 1;
  return tensorName(name).role === "other" && !isHiddenState(name) ? null : 2;
}

/**
 * Places `tensors` in their order. A canonical name that two would get goes to
 * neither: which of them is meant cannot be told. A tensor of a batch,
 * `[B, T, …]`, is B samples, unless its name says which sample it is. Where the
 * file holds a mask of the batch (`attention_mask`), so is every other tensor of
 * that batch, and its padding is left out.
 *
 * @param file what to call the file in errors
 * @throws NpuDiffError `dump-schema` where a mask says of a sample's tokens that there are gaps between them
 */
export function placeTensors(
  tensors: readonly ForeignTensor[],
  file: string,
): readonly PlacedTensor[] {
  const batch = paddedBatch(tensors, file);
  const canonical = namesOfFile(tensors.map(({ name }) => placedName(name).name));
  const named = tensors
    .filter((tensor) => tensor !== batch?.mask)
    .map((tensor) => {
      const { name: raw, sample, step } = placedName(tensor.name);
      const name =
        idsName(raw, tensor) ?? canonical(raw) ?? (tensors.length === 1 ? nameAlone(raw) : raw);
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
    const placed = { ...tensor, name, module: tensor.module ?? raw, step };
    // The next token's alone.
    if (name === "logits" && tensor.shape.length === 1) {
      return [{ ...placed, sample: sample ?? 0, shape: [1, ...tensor.shape] }];
    }
    const whole =
      sample === null && step === 0 && batch !== null ? inBatch(name, tensor, batch) : null;
    if (batch !== null && whole !== null) {
      return batch.samples.map((kept, i) => ({
        ...placed,
        sample: i,
        shape: [kept.length, ...whole.shape.slice(2)],
        pieces: tokensOf(whole, i, kept),
      }));
    }
    const axes = axesOf(name);
    if (axes === null || tensor.shape.length !== axes + 1) {
      return [{ ...placed, sample: sample ?? 0 }];
    }
    const [count = 0, ...shape] = tensor.shape;
    // Statistics of a batch are of no sample.
    if (tensor.pieces === null && count !== 1) {
      return [{ ...placed, name: raw, sample: sample ?? 0 }];
    }
    if (sample !== null) {
      return [{ ...placed, sample, shape: count === 1 ? shape : tensor.shape }];
    }
    return Array.from({ length: count }, (_, i) => ({
      ...placed,
      sample: i,
      shape,
      pieces: tensor.pieces === null ? null : rowOf(tensor.pieces, shape, tensor, i),
    }));
  });
}

/**
 * A tensor of a padded batch as `[B, T, …]`; null where it is none. A router, among others, is given the tokens of all
 * samples in a row.
 */
function inBatch(name: string, tensor: ForeignTensor, batch: PaddedBatch): ForeignTensor | null {
  if (isOfBatch(name, tensor, batch)) return tensor;
  const [rows, ...rest] = tensor.shape;
  const isInARow =
    tensor.pieces !== null &&
    axesOf(name) === 2 &&
    rest.length === 1 &&
    rows === batch.samples.length * batch.tokens;
  return isInARow ? { ...tensor, shape: [batch.samples.length, batch.tokens, ...rest] } : null;
}

/**
 * Whether a tensor is `[B, T, …]` of a padded batch: of two axes ids, of more anything. Where a later axis is as long
 * as the second, of attention's weights for instance, that may be its heads: such a tensor is left whole, unless its
 * name says what its axes are.
 */
function isOfBatch(
  name: string,
  { shape, pieces, dtype }: ForeignTensor,
  batch: PaddedBatch,
): boolean {
  const [samples, tokens, ...rest] = shape;
  const isPair = shape.length === 2 && isFloatDType(dtype);
  return (
    pieces !== null &&
    shape.length >= 2 &&
    !isPair &&
    samples === batch.samples.length &&
    tokens === batch.tokens &&
    (axesOf(name) === shape.length - 1 || !rest.includes(tokens))
  );
}

/** The pieces of a sample's tokens. */
function tokensOf(
  { shape, dtype, pieces }: ForeignTensor,
  sample: number,
  { start, length }: Kept,
): readonly Piece[] {
  const [, tokens = 0, ...rest] = shape;
  const bytes = rest.reduce((product, one) => product * one, DTYPES[dtype].bytes);
  return slicePieces(pieces ?? [], (sample * tokens + start) * bytes, length * bytes);
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
