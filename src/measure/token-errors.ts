/** The error of every tensor at every token of one sample, for a drawing of layers by tokens. */

import type { Pair, Unit } from "../align/align.ts";
import { extentOf } from "../align/shapes.ts";
import { tokenTexts } from "../align/texts.ts";
import type { TokenBin, TokenErrorRow, TokenErrors } from "../core/details.ts";
import type { Origin } from "../core/groups.ts";
import type { Quality } from "../core/quality.ts";
import type { TensorResult } from "../core/tensor-result.ts";
import { isMeasurable, type Sides } from "./measure-tensor.ts";
import { rowErrors } from "./reread-rows.ts";
import type { SegmentReader } from "./segments.ts";

/** Bins that a sample is drawn in. */
const MOST_BINS = 128;

/**
 * Reads the prompt of `sample` once more, one tensor after the other.
 *
 * @returns null where no tensor that can be measured holds this sample.
 * @throws NpuDiffError where a file cannot be read.
 */
export function measureTokenErrors(
  units: readonly Unit[],
  sample: number,
  { reference, candidate }: Sides,
  reader: SegmentReader,
): TokenErrors | null {
  const held = units.flatMap((unit): { readonly unit: Unit; readonly pair: Pair }[] => {
    if (unit.group !== "prefill" || !isMeasurable(unit)) return [];
    const pair = unit.pairs.find((one) => one.sample === sample && one.step === 0);
    return pair === undefined ? [] : [{ unit, pair }];
  });
  const tokens = Math.max(0, ...held.map(({ pair }) => extentOf(pair.reference.shape).rows));
  if (tokens === 0) return null;
  const bins = binsOf(tokens, tokenTexts(reference, sample));
  const rows = held
    .filter(({ pair }) => extentOf(pair.reference.shape).rows === tokens)
    .map(({ unit, pair }): TokenErrorRow => {
      const one = { unit: { ...unit, pairs: [pair] }, dump: candidate, reference };
      const errors = rowErrors(one, reader);
      return { tensor: unit.name, relL2: bins.map(({ from, to }) => largest(errors, from, to)) };
    });
  return { sample, tokens, bins, rows };
}

/** The sample that says most: where the origin is furthest from its reference, else where the logits are, else the first. */
export function sampleToDraw(
  tensors: readonly TensorResult[],
  origin: Origin | null,
  { kl }: Quality,
): number {
  const prefill = tensors.filter(({ step }) => step === "prefill");
  const faulty = prefill.find(({ name }) => name === origin?.tensor);
  const places = [faulty, ...prefill].flatMap((tensor) => tensor?.tokenRelL2?.maxAt ?? []);
  const ofOrigin = faulty?.tokenRelL2?.maxAt ?? null;
  return (ofOrigin ?? kl?.maxAt ?? places[0])?.sample ?? 0;
}

/** As many bins of one size as there is room for; the last may be shorter. */
function binsOf(tokens: number, texts: readonly string[] | null): readonly TokenBin[] {
  const size = Math.ceil(tokens / MOST_BINS);
  return Array.from({ length: Math.ceil(tokens / size) }, (_, bin) => {
    const from = bin * size;
    const to = Math.min(tokens, from + size);
    const ends = to - from === 1 ? [texts?.[from]] : [texts?.[from], texts?.[to - 1]];
    const known = ends.filter((text) => text !== undefined);
    return { from, to, text: known.length < ends.length ? null : known.join(" … ") };
  });
}

/** Null where there is no such row. */
function largest(errors: Float64Array, from: number, to: number): number | null {
  let most: number | null = null;
  for (const error of errors.subarray(from, to)) {
    if (most === null || error > most) most = error;
  }
  return most;
}
