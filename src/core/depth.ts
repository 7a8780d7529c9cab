/** One tensor of a pair looked at closely. Field names are frozen, additions only. */

import type { FloatDType } from "./dtype.ts";
import type { ElementAt, TokenAt } from "./places.ts";
import type { StepGroup } from "./verdict.ts";

/** How many elements differ by so much, in ULP of the candidate's format at the reference value. */
export interface UlpHistogram {
  /** Each holds what is above the bound before it, and at most its own: 0, ½, 1, 2, 4, … 2¹⁶. */
  readonly buckets: readonly { readonly upTo: number; readonly elements: number }[];
  /** Finite on both sides, and above the last bound. */
  readonly beyond: number;
  /** Different in kind: one side is NaN or infinite and the other is not the same. */
  readonly nonFinite: number;
  /** The largest of what is finite on both sides; null where nothing is. */
  readonly max: number | null;
}

/** An element, worst first by |d|; what differs in kind comes before all. */
export interface WorstElement extends ElementAt {
  readonly token: number;
  /** The token as the reference writes it; null where it does not store that. */
  readonly text: string | null;
  /** Candidate less reference. */
  readonly d: number;
  /** |d| in ULP; infinite where the two differ in kind. */
  readonly ulp: number;
}

/** Sums of a row, a channel or a head, over pairs that are finite on both sides. */
interface PartError {
  /** ‖d‖ / ‖x‖; infinite where only the reference is zero, NaN where no pair is finite. */
  readonly relL2: number;
  /** Elements that differ in kind. */
  readonly mismatched: number;
}

/** A row, worst first by ρ_t; rows that hold a difference in kind come before all. */
export interface WorstToken extends TokenAt, PartError {
  readonly text: string | null;
  /** Of the row and its reference; 1 where both are zero, NaN where no pair is finite. */
  readonly cosine: number;
}

/** A channel, worst first by its share; those that hold a difference in kind come before all. */
export interface WorstChannel extends PartError {
  /** Index inside a row. */
  readonly channel: number;
  /** Part of the whole Σd². */
  readonly share: number;
}

export interface HeadError extends PartError {
  readonly head: number;
  readonly share: number;
}

/** Why a tensor has no heads: the metadata tell none, its name is no query's, key's or value's, or its width is another. */
export type NoHeads = "metadata" | "name" | "width";

/** The prompts or the decode steps of one tensor. */
export interface TensorDepth {
  readonly tensor: string;
  readonly layer: number | null;
  readonly step: StepGroup;
  readonly dtypes: {
    readonly reference: readonly FloatDType[];
    readonly candidate: readonly FloatDType[];
  };
  readonly samples: number;
  readonly rows: number;
  /** Elements of a row. */
  readonly width: number;
  /** ‖d‖ / ‖x‖ of all. */
  readonly relL2: number;
  readonly maxAbs: number | null;
  readonly ulp: UlpHistogram;
  /** At most 20 of each; what does not differ is not listed. */
  readonly elements: readonly WorstElement[];
  readonly tokens: readonly WorstToken[];
  /** Null where a row is wider than 2²⁰. */
  readonly channels: readonly WorstChannel[] | null;
  /** All of them, in order. */
  readonly heads: readonly HeadError[] | null;
  readonly noHeads: NoHeads | null;
}
