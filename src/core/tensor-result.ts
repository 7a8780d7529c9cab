/** One tensor of a comparison, and its figures. Field names are frozen, additions only. */

import type { DType } from "./dtype.ts";
import type { OwnFigures } from "./own-figures.ts";
import type { ElementAt, TokenAt } from "./places.ts";
import type { StatsFigures } from "./stats-figures.ts";
import type { Role, StepGroup, Verdict } from "./verdict.ts";

/** ρ_t = ‖d_t‖ / ‖x_t‖ over rows; dimensionless. */
export interface TokenRelL2 {
  /** Geometric mean; ρ_t raised to 0.425 u first. 0 only when every row is. */
  readonly gm: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly maxAt: TokenAt | null;
  /** The largest `gm` of a single sample. */
  readonly worstSampleGm: number;
}

/** Cosine of each row, over rows where it is defined. */
export interface TokenCosine {
  readonly mean: number;
  readonly min: number;
  readonly minAt: TokenAt | null;
  readonly p1: number;
  readonly p5: number;
  readonly p50: number;
}

/** Counts of values that are no finite numbers. */
export interface NonFinite {
  readonly reference: { readonly nan: number; readonly posInf: number; readonly negInf: number };
  readonly candidate: { readonly nan: number; readonly posInf: number; readonly negInf: number };
  /** Positions where the two sides differ in kind. */
  readonly mismatched: number;
  readonly firstAt: ElementAt | null;
  /** Positions where the candidate sits at its dtype's largest value and the reference does not. */
  readonly saturated: number;
}

/** The error of one tensor relative to a floor's, the largest floor ratio counting. */
export interface FloorFigures {
  /** exp(mean_t ln(ρ_t / ρ_t(floor))). */
  readonly floorRatio: number;
  /** p99(ρ) / p99(ρ floor). */
  readonly floorRatioP99: number;
  /** max_t ρ_t / max(ρ_t(floor), median ρ(floor)). */
  readonly floorTokenRatio: number;
  readonly floorTokenRatioAt: TokenAt | null;
  /** The largest `floorRatio` of a single sample over the allowance for that many rows, and that sample. */
  readonly worstSampleFloorRatio: number;
  readonly worstSample: number | null;
  /** `gm` of the floor itself. */
  readonly floorGm: number;
}

/** One tensor: all samples of one name in one step group. Figures are null where nothing could be measured. */
export interface TensorResult {
  readonly name: string;
  readonly layer: number | null;
  readonly step: StepGroup;
  readonly verdict: Verdict;
  readonly role: Role | null;
  readonly dtype: { readonly reference: DType; readonly candidate: DType };
  /** Samples (and steps), rows and elements that both sides hold. */
  readonly samples: number;
  readonly rows: number;
  readonly elements: number;
  readonly relL2: number | null;
  readonly snrDb: number | null;
  readonly tokenRelL2: TokenRelL2 | null;
  readonly cosine: number | null;
  readonly cosineDistance: number | null;
  readonly tokenCosine: TokenCosine | null;
  readonly mse: number | null;
  readonly rmse: number | null;
  readonly meanAbs: number | null;
  readonly bias: number | null;
  readonly maxAbs: number | null;
  readonly maxAbsAt: ElementAt | null;
  readonly normRatio: number | null;
  readonly slope: number | null;
  readonly floorRatio: number | null;
  readonly floorRatioP99: number | null;
  readonly floor: FloorFigures | null;
  /** The limit of `tokenRelL2.gm` where no floor decided. */
  readonly priorLimit: number | null;
  /** The module's own error; null without a forced reference of this tensor. */
  readonly own: OwnFigures | null;
  readonly nonFinite: NonFinite | null;
  /** Elements whose bytes differ; counted only where bit equality was asked for. */
  readonly bitsDiffering: number | null;
  /** What statistics say where either side is not stored densely; null where both are. */
  readonly statsFigures: StatsFigures | null;
}
