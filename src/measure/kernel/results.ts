/**
 * What comes of a job, as numbers: the sums over all its rows, then what is known
 * of each row, then the sums of its channels. The first part has the kernel's own
 * layout (assembly/state.ts).
 */

import type { Job } from "./job.ts";

/** Places among the first numbers; of the compensated sums the second number is what was lost. */
export const AT = {
  xx: 0,
  yy: 2,
  xy: 4,
  dd: 6,
  xd: 8,
  d: 10,
  absD: 12,
  count: 14,
  maxAbs: 15,
  maxRow: 16,
  maxColumn: 17,
  maxX: 18,
  maxY: 19,
  /** NaN, +∞, −∞. */
  nonFiniteX: 20,
  nonFiniteY: 23,
  mismatched: 26,
  mismatchRow: 27,
  mismatchColumn: 28,
  mismatchX: 29,
  mismatchY: 30,
  saturated: 31,
  differing: 32,
  unsafe: 33,
  /** Powers of two that the seven sums are scaled by. */
  exponents: 34,
} as const;

/** The sums in the order of their places. */
export const SUMS = ["xx", "yy", "xy", "dd", "xd", "d", "absD"] as const;

export const TOTALS: number = AT.exponents + SUMS.length;

/** Of each row and each side beside the reference. */
export const ROW = {
  /** ‖d‖ / ‖x‖; NaN where no pair is finite. */
  rho: 0,
  cosineDistance: 1,
  xx: 2,
  xd: 3,
  maxAbs: 4,
  d: 5,
  dd: 6,
  count: 7,
} as const;

export const ROW_NUMBERS = 8;

/** Of each row of logits and each side beside the reference. */
export const SIDE_LOGITS = {
  /** KL(reference ‖ side), in nats. */
  kl: 0,
  /** Centred size of the error, see {@link CentredError}. */
  sigma: 1,
} as const;

export const SIDE_LOGITS_NUMBERS = 2;

/** Of each row of logits. */
export const LOGITS = {
  lseReference: 0,
  lseCandidate: 1,
  /** Logits of the true token. */
  truthReference: 2,
  truthCandidate: 3,
  /** The reference's largest logit less its second largest. */
  margin: 4,
  /** Whether the largest of one side is among the largest of the other: 0 or 1. */
  agrees: 5,
  /** Whether both sides' largest are at one place. */
  strict: 6,
  /** Share of the 5 and the 10 best that both have. */
  overlap5: 7,
  overlap10: 8,
} as const;

export const LOGITS_NUMBERS = 9;

/** Sums of channels: Σe, Σe², Σze, Σz². */
export const CHANNEL_SUMS = 4;

// What follows lies in the kernel's own memory (assembly/softmax.ts).

/** Of each side of the row of logits under way. */
export const SOFTMAX = {
  largest: 0,
  /** Σ exp(logit − largest). */
  sum: 1,
  /** Σ p·(x − y), p = exp(x − the reference's largest). */
  weighted: 2,
  /** The reference's largest logit where the side has −∞. */
  lost: 3,
} as const;

export const SOFTMAX_NUMBERS = 4;

/** Of the reference, then of the candidate: ten logits, the largest first, and what is known of them. */
export const TOP = {
  columns: 10,
  count: 20,
  /** What the other side has where the largest is. */
  other: 21,
} as const;

export const TOP_NUMBERS = 22;

/** How the numbers of a job's result lie. */
export interface ResultLayout {
  /** Numbers of one row, and those of them before what is of logits. */
  readonly stride: number;
  readonly pairs: number;
  readonly channelsAt: number;
  readonly length: number;
}

export function resultLayout({
  rows,
  width,
  sides,
  truth,
  leastRowError,
}: Pick<Job, "rows" | "width" | "sides" | "truth" | "leastRowError">): ResultLayout {
  const others = sides.length - 1;
  const pairs = others * ROW_NUMBERS;
  const stride = pairs + (truth === null ? 0 : others * SIDE_LOGITS_NUMBERS + LOGITS_NUMBERS);
  const channelsAt = TOTALS + rows * stride;
  const channels = leastRowError === null ? 0 : CHANNEL_SUMS * width;
  return { stride, pairs, channelsAt, length: channelsAt + channels };
}

/**
 * What rows are weighed by when channels are summed, 1 / (‖x_t‖ ρ_t): see
 * `OwnChannels`. 0 where the row has no size or no error of a size.
 *
 * @param least what ρ_t is raised to.
 */
export function rowWeight(xx: number, rho: number, least: number): number {
  const weight = 1 / (Math.sqrt(xx) * Math.max(rho, least));
  return xx > 0 && Number.isFinite(rho) && Number.isFinite(weight) ? weight : 0;
}
