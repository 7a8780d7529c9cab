/** The jobs of a whole comparison, in the order in which their results are taken. */

import type { Unit } from "../align/align.ts";
import { extentOf } from "../align/shapes.ts";
import { isMeasurable, type MeasureOptions, planTensor, type Sides } from "./measure-tensor.ts";
import type { OwnErrors } from "./own.ts";
import { hasChannels, type PlannedJob } from "./plan.ts";
import type { TrueTokens } from "./true-tokens.ts";

/** What a plan depends on beside the units. */
export interface PlanOptions {
  readonly measuring: MeasureOptions;
  /** Whether to count elements whose bytes differ. */
  readonly bits: boolean;
  /** Whether a unit's logits are looked at as such, and the tokens that they should have predicted. */
  readonly holdsLogits: (unit: Unit) => boolean;
  readonly truth: TrueTokens;
}

/** Of each unit the jobs of `measureTensor`, then those of `OwnErrors.measure`. */
export function* planUnits(
  units: readonly Unit[],
  sides: Sides,
  own: OwnErrors,
  { measuring, bits, holdsLogits, truth }: PlanOptions,
): Generator<PlannedJob, void, undefined> {
  for (const unit of units) {
    if (isMeasurable(unit)) {
      yield* planTensor(unit, sides, {
        bits,
        truth: holdsLogits(unit) ? (pair, row) => truth.after(pair, row) : null,
      });
    }
    yield* own.plan(unit, measuring);
  }
}

/** Width of the widest rows that have channels of their own error; 0 without any. */
export function widestOwn(units: readonly Unit[], own: OwnErrors): number {
  const widths = units
    .flatMap((unit) => own.units(unit))
    .flatMap(({ pairs: [first] }) =>
      first === undefined ? [] : [extentOf(first.reference.shape).width],
    );
  return widths.reduce((most, width) => (hasChannels(width) ? Math.max(most, width) : most), 0);
}
