/**
 * What the own error of a module is held to. Every constant with a worst pair is 1.25 times what
 * the worst of 546 benign pairs of the calibration half of `bench/faults` needs
 * (SmolLM2-135M, seven tiny models; bf16, fp16 and fp32; 2 to 2,000 tokens), to
 * two figures: without a margin the worst kind of legal kernels, split-K with
 * its partial sums rounded, alarms wherever it was not among those looked at.
 * `python -m bench.faults.calibrate` prints what each needs and what other
 * margins cost.
 */

import type { OwnStatistic, OwnStatisticName } from "../core/own-figures.ts";
import type { TensorRole } from "../dump/contract.ts";
import { rowsAllowance } from "./limits.ts";

/** `energy` and `sample`. Worst benign pair: attn 1.70, router 2.09, mlp 1.44, residual sum 1.06, norm 1.03, logits 2.52. */
const MAX_ENERGY: Readonly<Record<TensorRole, number>> = {
  embed: 1.5,
  attn: 2.1,
  router: 2.6,
  mlp: 1.8,
  layer: 1.3,
  norm: 1.3,
  logits: 3.2,
  other: 2.1,
};

/** `token` and `element` over the larger floor's. Worst benign pair: 4.95, 2.83. */
const MAX_TOKEN = 6.2;
const MAX_ELEMENT = 3.5;

/** `slope` and `offset` beyond the larger floor's, over as many rows as in {@link SCATTER_ROWS}. Worst: 0.22, 0.71. */
const MAX_SLOPE_EXCESS = 0.27;
const MAX_OFFSET_EXCESS = 0.9;

/** `channel` and `gain` as they stand. Worst: 2.18, 2.53. */
const MAX_CHANNEL = 2.7;
const MAX_GAIN = 3.2;

/** Rows that these limits hold for; figures of fewer scatter by the root of their number. */
const SCATTER_ROWS = 200;

/** Fewer rows than this say nothing about single channels. */
const LEAST_CHANNEL_ROWS = 32;

/**
 * ρ_t of any token of the embedding, in u (worst: 1.18): a look-up that is rounded once; in
 * float32 with a factor that some models have.
 */
const MAX_EMBED_TOKEN = { stores: 1.5, accumulation: 4 } as const;

/** Geometric mean of ρ_t where values are rounded once, in u: the root of the mean square of a relative rounding error. */
const ONE_ROUNDING = 0.85;

/** What a 16-bit look-up can be rounded: the weight, the factor behind it, and their product. */
const MOST_ROUNDINGS = 3;

/**
 * The limit of ρ_t of any token of the embedding, in u. How often a 16-bit look-up is rounded
 * shows in the floor, but no floor excuses more than there can be.
 *
 * @param floorGm of the larger floor's own ρ_t; null where none is known.
 */
export function embedLimit(u: number, floorGm: number | null): number {
  if (u <= ACCUMULATION_U) return MAX_EMBED_TOKEN.accumulation;
  const roundings = ((floorGm ?? 0) / u / ONE_ROUNDING) ** 2;
  return MAX_EMBED_TOKEN.stores * Math.sqrt(Math.min(Math.max(roundings, 1), MOST_ROUNDINGS));
}

/** Geometric mean of ρ_t in u where no floor is known; 16-bit formats only. Worst: 9.3, 1.74, 3.9, 1.26, 1.24, 2.15. */
const FIXED: Readonly<Partial<Record<TensorRole, number>>> = {
  attn: 12,
  router: 2.2,
  mlp: 4.9,
  layer: 1.6,
  norm: 1.5,
  logits: 2.7,
};

/** u of the coarsest format whose errors come from accumulation, not from stores. */
const ACCUMULATION_U = 2 ** -25;

/** A floor may lie so far above {@link FIXED}: other models are noisier than those that it was set on. */
const FLOOR_MARGIN = 4;

/** The same in u where errors come from accumulation; benign pairs in float32 reach 24. */
const MAX_FLOOR_ACCUMULATION = 256;

/** No kind of module and no number format excuses a floor's own error that is half as large as the tensor. */
const MAX_FLOOR = 0.5;

/** The largest own error, `gm` of ρ_t, by which a floor may be one: what is beyond is a fault of the floor. */
export function ownFloorLimit(role: TensorRole, u: number, rows: number): number {
  const limit = u > ACCUMULATION_U ? FIXED[role] : undefined;
  const units = limit === undefined ? MAX_FLOOR_ACCUMULATION : FLOOR_MARGIN * limit;
  return Math.min(MAX_FLOOR, units * u * rowsAllowance(rows));
}

/** The limit of an own error's `gm` in u where no floor is known; null where none was measured. */
export function fixedOwnLimit(role: TensorRole, u: number, rows: number): number | null {
  const limit = u > ACCUMULATION_U ? FIXED[role] : undefined;
  return limit === undefined ? null : limit * rowsAllowance(rows);
}

/**
 * The limit of one statistic; null where it does not apply: an embedding is
 * held to its own rule, a residual sum rounds whatever its channels hold, and
 * few rows say nothing about channels.
 *
 * @param rows of the tensor.
 */
export function ownLimit(
  name: OwnStatisticName,
  { floor }: Pick<OwnStatistic, "floor">,
  role: TensorRole,
  rows: number,
): number | null {
  if (role === "embed") return null;
  const ratio = Math.max(1, floor ?? 1);
  const excess = floor ?? 0;
  switch (name) {
    case "energy":
      return MAX_ENERGY[role] * rowsAllowance(rows) * ratio;
    case "sample":
      return MAX_ENERGY[role] * ratio;
    case "token":
      return MAX_TOKEN * ratio;
    case "element":
      return MAX_ELEMENT * ratio;
    case "slope":
      return role === "layer" ? null : excess + MAX_SLOPE_EXCESS * scatterOf(rows);
    case "channel":
      return onChannels(role, rows, (scatter) => MAX_CHANNEL * scatter);
    case "offset":
      return onChannels(role, rows, (scatter) => excess + MAX_OFFSET_EXCESS * scatter);
    case "gain":
      return onChannels(role, rows, (scatter) => MAX_GAIN * scatter);
  }
}

function onChannels(
  role: TensorRole,
  rows: number,
  limit: (scatter: number) => number,
): number | null {
  if (role === "layer" || rows < LEAST_CHANNEL_ROWS) return null;
  return limit(scatterOf(rows));
}

function scatterOf(rows: number): number {
  return Math.max(1, Math.sqrt(SCATTER_ROWS / rows));
}
