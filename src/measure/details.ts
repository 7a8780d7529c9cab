/** What is measured only for a report that draws it. */

import type { Unit } from "../align/align.ts";
import type { ResultDetails } from "../core/details.ts";
import type { ComparisonResult } from "../core/result.ts";
import { unitsInDepth } from "./depth-choice.ts";
import { readPositions } from "./logit-positions.ts";
import type { Sides } from "./measure-tensor.ts";
import type { LogitsMeters } from "./quality.ts";
import type { SegmentReader } from "./segments.ts";
import { measureDepth } from "./tensor-depth.ts";
import { measureTokenErrors, sampleToDraw } from "./token-errors.ts";

/**
 * Reads once more what a report draws of single tokens and tensors.
 *
 * @throws NpuDiffError where a file cannot be read.
 */
export function readDetails(
  units: readonly Unit[],
  { tensors, origin, quality }: Pick<ComparisonResult, "tensors" | "origin" | "quality">,
  logits: LogitsMeters,
  sides: Sides,
  reader: SegmentReader,
): ResultDetails {
  const sample = sampleToDraw(tensors, origin, quality);
  const ofLogits = units.find(({ role, group }) => role === "logits" && group === "prefill");
  return {
    tokenErrors: measureTokenErrors(units, sample, sides, reader),
    tensors: unitsInDepth(units, tensors, origin).map((unit) => measureDepth(unit, sides, reader)),
    positions: readPositions(logits.prefill.positions, ofLogits, sides),
  };
}
