/** What holds of a cause in every language: how it is found, and what its texts fill in. */

import type { CauseId } from "./ids.ts";

export interface CauseFacts {
  /** Whether the comparison names it from two dumps, or `npu-dump probe` with the model's weights. */
  readonly by: "compare" | "probe";
  /** The condition under which it is named. */
  readonly formula: string;
  /** Names in `CauseResult.detail` that its texts use. */
  readonly detail: readonly string[];
}

function compare(formula: string, ...detail: readonly string[]): CauseFacts {
  return { by: "compare", formula, detail };
}

/** Named by a matched filter: v = f(x; changed) − f(x), e = y − f(x). */
function probe(change: string, ...detail: readonly string[]): CauseFacts {
  return { by: "probe", formula: `⟨e, v⟩ / (‖e‖‖v‖) ≥ 0.7, v: ${change}`, detail };
}

export const CAUSE_FACTS: Readonly<Record<CauseId, CauseFacts>> = {
  "cause/configuration": compare(
    "a key of model.* that the module reads: reference ≠ candidate",
    "differences",
  ),
  "cause/non-finite": compare("#{i : x_i ∉ ℝ, r_i ∈ ℝ} > 0", "nan", "infinite", "affected", "rows"),
  "cause/skipped": compare("x = 0 ≠ r, or attn and mlp of one layer both 0", "rows"),
  "cause/unwritten": compare(
    "70 % of the hot rows' error in runs of ≥ 8 zeros or of x_{t−1}, or 90 % in one block of columns",
    "elements",
    "affected",
    "rows",
  ),
  "cause/saturation": compare(
    "#{i : |x_i| = max|x|} ≥ 3, half of them with |r_i| > 1.01 max|x|",
    "elements",
    "largest",
    "columns",
  ),
  "cause/sparse": compare(
    "80 % of each hot row's error in 3 elements; or the largest 2 % hold 70 % (25 % with zeros)",
    "share",
  ),
  "cause/token": compare(
    "at most 10 % of the rows with ρ_t > 3 q99(floor), the others' median < 1.5 times the floor's",
    "affected",
    "rows",
    "copies",
    "sample",
    "token",
  ),
  "cause/shift": compare(
    "mean_t cos(x_t, r_{t−s}) > 0.9 and > mean_t cos(x_t, r_t) + 0.02, s = ±1, ±2",
    "lag",
    "cosine",
    "own",
  ),
  "cause/channel": compare(
    "at most 5 % of the channels (or 16, or one block) hold 80 % of the error, the rest is as the floor",
    "channels",
    "width",
    "share",
    "first",
    "gain",
  ),
  "cause/permutation": compare(
    "80 % of the channels correlate > 0.95 with one of r, less than half with their own",
    "found",
    "atHome",
    "roll",
  ),
  "cause/sign": compare("x ≈ (1 + a)·r, a < −1.5, correlation < −0.99", "gain"),
  "cause/bits": compare("99.9 % of the x_i fit n bits, n less than the format's", "bits", "of"),
  "cause/scale": compare(
    "x ≈ (1 + a)·r explains the error: |ρ|/√excess > 0.85, and leaves no more than the floor's",
    "gain",
    "explained",
  ),
  "cause/bias": compare("one vector in all rows holds > 92 % of the error", "share"),
  "cause/channel-gain": compare(
    "x_j ≈ g_j·r_j explains > 88 % of the error",
    "share",
    "low",
    "high",
  ),
  "cause/low-rank": compare(
    "the first singular direction holds > 80 % of the error, or the first four > 95 %",
    "share",
    "directions",
  ),
  "cause/precision": compare(
    "ρ alike in all rows, uncorrelated with r, in directions that r does not prefer",
    "median",
    "times",
  ),
  "cause/attention-scale": probe("softmax(s·QKᵀ), s ≠ 1/√d", "estimate"),
  "cause/rotary-base": probe("inv_freq of another rope_theta or rope_scaling", "estimate"),
  "cause/position": probe("position_ids ± 1", "estimate"),
  "cause/rotary-layout": probe("pairs (2i, 2i + 1) instead of (i, i + d/2), or fewer dims rotated"),
  "cause/kv-heads": probe("query head h reads another key-value head"),
  "cause/mask": probe("key t ± 1 seen or hidden", "estimate"),
  "cause/window": probe("only the last w keys seen, or all of them", "estimate"),
  "cause/head": probe("one head's output = 0", "estimate"),
  "cause/sink": probe("attention without its sink logits"),
  "cause/qk-norm": probe("Q and K without their norm"),
  "cause/norm-weight": probe("norm weight w + 1, 1, or another layer's; eps"),
  "cause/layer-weights": probe("the weights of the layer before or behind"),
  "cause/activation": probe("gelu, tanh gelu, quick gelu, silu, relu", "estimate"),
  "cause/gate-up": probe("act(up)·gate instead of act(gate)·up"),
  "cause/router": probe("weights not normalised, k ± 1, experts in another order", "estimate"),
  "cause/soft-cap": probe("scores or logits without c·tanh(z/c)"),
};
