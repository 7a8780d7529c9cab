/** Which tokens of a padded batch are none: the attention mask of a file says so. */

import { DTYPES, isFloatDType } from "../../core/dtype.ts";
import { NpuDiffError } from "../../core/errors.ts";
import { decodeInto, readIntegers } from "../decode.ts";
import { placedName } from "./canonical-names.ts";
import type { ForeignTensor, Piece } from "./foreign-tensor.ts";

/** The tokens of one sample of a batch. */
export interface Kept {
  readonly start: number;
  readonly length: number;
}

/** A batch as its mask tells it. */
export interface PaddedBatch {
  readonly mask: ForeignTensor;
  /** Length of every sample with its padding. */
  readonly tokens: number;
  readonly samples: readonly Kept[];
}

/** More tokens than any batch has. */
const MAX_TOKENS = 2 ** 24;

const MASK = /(?:^|[./])attention_mask$/u;

/**
 * The batch that an `attention_mask` of `[B, T]` describes; null where there is none, or several.
 *
 * @param file what to call the file in errors
 * @throws NpuDiffError `dump-schema` where the mask is not one run of ones for each sample
 */
export function paddedBatch(tensors: readonly ForeignTensor[], file: string): PaddedBatch | null {
  const masks = tensors.filter(
    ({ name, shape, pieces, sample, step }) =>
      MASK.test(name) &&
      placedName(name).sample === null &&
      shape.length === 2 &&
      pieces !== null &&
      sample === undefined &&
      (step ?? 0) === 0,
  );
  const [mask] = masks;
  if (mask === undefined || masks.length > 1) return null;
  const [batch = 0, tokens = 0] = mask.shape;
  const wrong = (found: string, expected: string): NpuDiffError =>
    new NpuDiffError("dump-schema", {
      what: `${file}: ${JSON.stringify(mask.name.slice(0, 200))} is no mask of padding`,
      facts: [
        { label: "found", text: found },
        { label: "expected", text: expected },
      ],
      help: "store each prompt without padding, or padded on one side with a mask of 0 and 1",
    });
  if (batch * tokens > MAX_TOKENS)
    throw wrong(`${batch} × ${tokens} tokens`, `at most ${MAX_TOKENS}`);
  const values = numbersOf(mask);
  return {
    mask,
    tokens,
    samples: Array.from({ length: batch }, (_, sample): Kept => {
      const row = values.subarray(sample * tokens, (sample + 1) * tokens);
      const other = row.find((one) => one !== 0 && one !== 1);
      if (other !== undefined) throw wrong(`${other} in sample ${sample}`, "0 and 1");
      const start = row.indexOf(1);
      const end = row.lastIndexOf(1) + 1;
      const gap = row.subarray(start, end).indexOf(0);
      if (start !== -1 && gap === -1) return { start, length: end - start };
      throw wrong(
        start === -1
          ? `no token in sample ${sample}`
          : `a gap at token ${start + gap} of sample ${sample}`,
        "one run of ones in each sample",
      );
    }),
  };
}

function numbersOf({ dtype, shape, pieces }: ForeignTensor): Float64Array {
  const elements = shape.reduce((product, length) => product * length, 1);
  const bytes = new Uint8Array(elements * DTYPES[dtype].bytes);
  let at = 0;
  for (const { source, position, bytes: length } of pieces as readonly Piece[]) {
    const target = bytes.subarray(at, at + length);
    source.readInto(position, target);
    at += target.length;
  }
  if (!isFloatDType(dtype)) return readIntegers(dtype, bytes);
  const values = new Float64Array(elements);
  decodeInto(dtype, bytes, values);
  return values;
}
