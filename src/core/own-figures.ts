/** A module's own error, without what it inherited. Field names are frozen, additions only. */

import type { TokenAt } from "./places.ts";

/**
 * A tensor beside its forced reference, x: what the reference engine answered
 * when it was fed with the candidate's own residual stream. The module's own
 * error, without what it inherited. Figures are null where the two differ in
 * kind anywhere, as in a NaN on one side only.
 */
export interface OwnFigures {
  /** Geometric mean of ρ_t = ‖y_t − x_t‖ / ‖x_t‖, as in `TokenRelL2`. */
  readonly gm: number | null;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
  readonly maxAt: TokenAt | null;
  /** `gm` in units of the number format's u. */
  readonly u: number | null;
  /** ⟨x,y⟩ / ⟨x,x⟩; null where x is zero. */
  readonly slope: number | null;
  /**
   * `gm` over the floor's own, both raised to 0.425 u, the larger floor
   * counting; null without a floor whose forced reference covers every row.
   */
  readonly gmOverFloor: number | null;
  /** The larger floor's own `gm`, in the candidate's precision. */
  readonly floorGm: number | null;
  /** Positions where the two differ in kind. */
  readonly mismatched: number;
  /** What the own error is held to; null where no floor's own error is known. */
  readonly statistics: OwnStatistics | null;
}

/** One statistic of an own error. */
export interface OwnStatistic {
  /** Of the candidate. */
  readonly value: number;
  /** The largest among the floors; null where that says nothing. */
  readonly floor: number | null;
  /** What the value was held to; null where no rule looked at it. */
  readonly limit: number | null;
}

/** Names of the statistics of {@link OwnStatistics}, in the order of a report. */
export const OWN_STATISTICS = [
  "energy",
  "sample",
  "token",
  "element",
  "slope",
  "channel",
  "offset",
  "gain",
] as const;

/** A figure of a module's own error, by name. */
export type OwnStatisticName = (typeof OWN_STATISTICS)[number];

/**
 * The own error of a module beside the own errors of the floors, seen in eight
 * ways; null where one cannot be taken. «Base» is the floors
 * together: the largest of their sizes, the mean of their channels.
 *
 * - `energy`: geometric mean of ρ_t over the base's.
 * - `sample`: the largest such ratio of a single sample, its allowance taken off.
 * - `token`: max_t ρ_t over the base's 99th percentile.
 * - `element`: max_tj |d_tj| / ‖x_t‖ over the base's median ρ_t.
 * - `slope`: |a| over the base's geometric mean, a = ⟨x,d⟩ / ⟨x,x⟩ of weighed rows.
 * - `channel`: the largest ratio of a channel's share of the error to the base's.
 * - `offset`: the largest constant part of a channel's error over its error in the base.
 * - `gain`: the same of the part that is proportional to the channel's values.
 */
export type OwnStatistics = Readonly<Record<OwnStatisticName, OwnStatistic | null>>;
