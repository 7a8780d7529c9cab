/** How far a run repeats itself. Field names are frozen, additions only. */

import type { DivergenceMargin, GeneratedToken } from "./generation.ts";

/** Where two repetitions of one tensor differ most. */
export interface RepeatTensorDifference {
  readonly tensor: string;
  readonly sample: number;
  readonly step: number;
  readonly repeat: number;
  /** The repetition that it was compared with. */
  readonly against: number;
  readonly index: readonly number[];
  /** In the unit of the tensor; infinite where one of the two numbers is not finite and the other is another. */
  readonly maxAbs: number;
}

/** Repetitions that were compared with an earlier one each. */
export interface RepeatComparison {
  /** How many repetitions that are. */
  readonly comparisons: number;
  /** Prompts whose continuations were compared; 0 where only tensors are stored. */
  readonly samples: number;
  /** Of those, the ones whose continuation is the same in all of these repetitions. */
  readonly identical: number;
  /** Null without samples. */
  readonly share: number | null;
  /** Wilson's interval; null without samples. */
  readonly ci95: readonly [number, number] | null;
  /** Float tensors that are stored in two repetitions fed with the same tokens, one count a comparison. */
  readonly tensors: {
    readonly compared: number;
    /** Equal bit by bit. */
    readonly identical: number;
    /** Null where none was compared. */
    readonly largest: RepeatTensorDifference | null;
  };
}

/** A continuation that is another in a later repetition. */
export interface RepeatDifference {
  readonly sample: number;
  readonly repeat: number;
  /** The repetition that it was compared with. */
  readonly against: number;
  /** The first token that differs, or that one of the two lacks; null where texts were compared. */
  readonly token: number | null;
  /** What `against` says there; null where it has ended, or where texts were compared. */
  readonly expected: GeneratedToken | null;
  /** What `repeat` says there. */
  readonly found: GeneratedToken | null;
  /** Its `reference` is `against`, its `candidate` is `repeat`. */
  readonly margin: DivergenceMargin;
}

/** The repetitions of one dump. Every one but the first is compared once: with the first that was fed alike, else with the run itself. */
export interface SideDeterminism extends RepeatComparison {
  /** R, the run itself included. */
  readonly repeats: number;
  /** Those fed exactly as an earlier one: what differs is not deterministic. Null where the dump does not say how they were fed, or none was. */
  readonly runToRun: RepeatComparison | null;
  /** Those fed in other batches, or another order, than any before: what differs may be the rounding of other kernels. Null as above. */
  readonly batch: RepeatComparison | null;
  /** Of the first prompt that differs, in its first repetition; null where none does. */
  readonly firstDifference: RepeatDifference | null;
}

/** By side; null where a dump repeats nothing, or where its repetitions cannot be compared, which `notAvailable` says. */
export interface DeterminismResult {
  readonly reference: SideDeterminism | null;
  readonly candidate: SideDeterminism | null;
}
