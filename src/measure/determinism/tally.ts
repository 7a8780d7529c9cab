/** Totals over repetitions that were compared. */

import type { RepeatComparison, RepeatTensorDifference } from "../../core/determinism.ts";
import { wilsonInterval } from "../../core/statistics.ts";

export class Tally {
  private comparisons = 0;
  private readonly differing = new Set<number>();
  private compared = 0;
  private identical = 0;
  private largest: RepeatTensorDifference | null = null;

  addComparison(): void {
    this.comparisons += 1;
  }

  /** A sample whose continuation is another. */
  addDiffering(sample: number): void {
    this.differing.add(sample);
  }

  addTensor(difference: RepeatTensorDifference, isIdentical: boolean): void {
    this.compared += 1;
    if (isIdentical) this.identical += 1;
    if (this.largest === null || difference.maxAbs > this.largest.maxAbs) this.largest = difference;
  }

  /** @param samples how many continuations every repetition holds. */
  result(samples: number): RepeatComparison {
    const { comparisons, compared, largest } = this;
    const identical = samples - this.differing.size;
    return {
      comparisons,
      samples,
      identical,
      share: samples === 0 ? null : identical / samples,
      ci95: samples === 0 ? null : wilsonInterval(identical, samples),
      tensors: { compared, identical: this.identical, largest },
    };
  }

  /** Null where nothing was compared. */
  resultIfAny(samples: number): RepeatComparison | null {
    return this.comparisons === 0 ? null : this.result(samples);
  }
}
