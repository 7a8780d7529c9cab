/** What each rule looks at, how its figures are written, and the condition that breaks it. */

import type { RuleLevel } from "../core/result.ts";
import type { RuleId } from "./rules.ts";

/** How a rule's `value` and `limit` are written. */
export type RuleUnit =
  /** A dimensionless quotient, 1 meaning «as large as expected». */
  | "ratio"
  /** A relative error, shown in e notation. */
  | "relative"
  | "cosine"
  /** A share of 1, shown in per cent. */
  | "share"
  /** A relative change, shown in per cent with its sign. */
  | "change"
  | "nats"
  | "count"
  /** In the unit of the tensor itself, or of its square. */
  | "absolute"
  /** A number of standard errors. */
  | "z";

export interface RuleFacts {
  /** The field of the result that the rule looks at, null where it is none. */
  readonly metric: string | null;
  /** Null where a finding has no `value`. */
  readonly unit: RuleUnit | null;
  readonly level: RuleLevel;
  /** The condition that breaks the rule; formulas are the same in every language. */
  readonly formula: string;
  /** Names in `Finding.detail` that the rule's texts use. */
  readonly detail: readonly string[];
}

function facts(
  level: RuleLevel,
  metric: string | null,
  unit: RuleUnit | null,
  formula: string,
  ...detail: readonly string[]
): RuleFacts {
  return { metric, unit, level, formula, detail };
}

export const RULE_FACTS: Readonly<Record<RuleId, RuleFacts>> = {
  "structure/missing": facts(
    "error",
    "missing",
    "count",
    "name ∈ capture.select and (name, sample, step) ∉ dump",
    "side",
  ),
  "structure/shape": facts(
    "error",
    null,
    null,
    "squeeze(shape(reference)) ≠ squeeze(shape(candidate)), axis 0 kept",
    "reference",
    "candidate",
  ),
  "structure/not-captured": facts(
    "info",
    "notCaptured",
    "count",
    "name ∉ capture.select and (name, sample, step) ∉ dump",
    "side",
  ),

  "finite/mismatched": facts(
    "error",
    "nonFinite.mismatched",
    "count",
    "#{i : kind(x_i) ≠ kind(y_i)} > 0, kind ∈ {finite, NaN, +Inf, -Inf}",
  ),
  "finite/saturation": facts(
    "error",
    "nonFinite.saturated",
    "count",
    "#{i : |y_i| = max finite of its dtype and |x_i| < |y_i|} > 0",
    "maxFinite",
  ),

  "own/finite": facts(
    "error",
    "own.mismatched",
    "count",
    "#{positions of another kind (finite, NaN, +Inf, −Inf) than in the forced reference} > 0",
  ),
  "own/embed": facts("error", "own.max", "ratio", "max_t ρ_t / u > limit, ρ_t of embed", "token"),
  "own/energy": facts(
    "error",
    "own.statistics.energy",
    "ratio",
    "gm(ρ) / gm(ρ base) > limit · max(1, the same of each floor); ρ under the forced reference",
  ),
  "own/sample": facts(
    "error",
    "own.statistics.sample",
    "ratio",
    "max over samples of gm(ρ) / gm(ρ base) for that many rows > limit · max(1, the same of each floor)",
  ),
  "own/token": facts(
    "error",
    "own.statistics.token",
    "ratio",
    "max_t ρ_t / p99(ρ base) > limit · max(1, the same of each floor)",
    "token",
  ),
  "own/element": facts(
    "error",
    "own.statistics.element",
    "ratio",
    "max_tj (|d_tj| / ‖x_t‖) / p50(ρ base) > limit · max(1, the same of each floor)",
    "token",
  ),
  "own/slope": facts(
    "error",
    "own.statistics.slope",
    "ratio",
    "|a| / gm(ρ base) − the same of each floor > limit; a of the weighed regression d = a·x",
  ),
  "own/channel": facts(
    "error",
    "own.statistics.channel",
    "ratio",
    "max_j rms_t(e_tj) / (rms_t(e_tj base) + ¼ median_j) > limit; e = d / ‖d_t‖",
  ),
  "own/offset": facts(
    "error",
    "own.statistics.offset",
    "ratio",
    "max_j |mean_t e_tj| / (rms_t(e_tj base) + ¼ median_j) − the same of each floor > limit",
  ),
  "own/gain": facts(
    "error",
    "own.statistics.gain",
    "ratio",
    "max_j |a_j − a_j base| · rms_t(z_tj) / (rms_t(e_tj base) + ¼ median_j) > limit; a_j the gain of channel j",
  ),
  "own/fixed": facts(
    "error",
    "own.u",
    "ratio",
    "gm(ρ) / u > limit by kind of module; ρ under the forced reference",
  ),
  "layer/floor-ratio": facts(
    "error",
    "floorRatio",
    "ratio",
    "exp(mean_t ln(ρ_t / ρ_t(floor))) > limit, ρ_t = ‖y_t − x_t‖ / ‖x_t‖",
  ),
  "layer/floor-ratio-p99": facts(
    "error",
    "floorRatioP99",
    "ratio",
    "p99(ρ) / p99(ρ(floor)) > limit",
  ),
  "layer/floor-token": facts(
    "error",
    "floor.floorTokenRatio",
    "ratio",
    "max_t ρ_t / max(ρ_t(floor), median ρ(floor)) > limit",
    "token",
  ),
  "layer/floor-sample": facts(
    "error",
    "floor.worstSampleFloorRatio",
    "ratio",
    "max over samples of exp(mean_t ln(ρ_t / ρ_t(floor))) > limit for that many rows",
  ),
  "layer/prior": facts(
    "error",
    "tokenRelL2.gm",
    "relative",
    "exp(mean_t ln ρ_t) > 2·c·u·(l + 1)^0.37, u of the dtype, c by kind of module",
  ),
  "layer/prior-token": facts("error", "tokenRelL2.max", "relative", "max_t ρ_t > limit", "token"),
  "layer/prior-sample": facts(
    "error",
    "tokenRelL2.worstSampleGm",
    "relative",
    "max over samples of exp(mean_t ln ρ_t) > limit",
  ),
  "layer/infinite": facts(
    "error",
    "tokenRelL2.max",
    "count",
    "#{t : ‖x_t‖ = 0 and ‖y_t − x_t‖ > 0} > 0",
    "token",
  ),
  "layer/propagated": facts(
    "warning",
    null,
    "count",
    "#{tensors beyond a plain limit} > 0, every own error known and within its limits",
    "rule",
  ),
  "layer/undecided": facts("warning", null, null, "no layer rule could be computed", "reason"),

  "exact/bits": facts("error", "bitsDiffering", "count", "#{i : bits(x_i) ≠ bits(y_i)} > 0"),
  "exact/dtype": facts(
    "error",
    "dtype",
    null,
    "dtype(reference) ≠ dtype(candidate)",
    "reference",
    "candidate",
  ),

  "limit/rel-l2": facts("error", "relL2", "relative", "‖y − x‖ / ‖x‖ > --max-rel-l2"),
  "limit/cosine": facts("error", "cosine", "cosine", "⟨x, y⟩ / (‖x‖‖y‖) < --min-cosine"),
  "limit/max-abs": facts("error", "maxAbs", "absolute", "max_i |y_i − x_i| > --max-abs"),
  "limit/mse": facts("error", "mse", "absolute", "mean_i (y_i − x_i)² > --max-mse"),
  "limit/ppl-increase": facts(
    "error",
    "quality.perplexity.relativeIncrease",
    "change",
    "PPL(candidate) / PPL(reference) − 1 > --max-ppl-increase",
    "decide",
    "low",
    "high",
    "tokensNeeded",
  ),
  "limit/kl": facts(
    "error",
    "quality.kl.mean",
    "nats",
    "mean_t KL(P_ref ‖ P_cand) > --max-kl",
    "decide",
    "low",
    "high",
    "tokensNeeded",
  ),
  "limit/top1": facts(
    "error",
    "quality.top1Agreement.share",
    "share",
    "agreed / positions < --min-top1",
    "decide",
    "low",
    "high",
    "tokensNeeded",
  ),
  "limit/first-token": facts(
    "error",
    "quality.firstToken.share",
    "share",
    "agreed / samples < --min-first-token",
    "decide",
    "low",
    "high",
    "samplesNeeded",
  ),

  "quality/undefined": facts(
    "error",
    "quality",
    null,
    "perplexity, mean KL divergence (or its bound) or lse is NaN or infinite",
    "metric",
  ),
  "quality/nll": facts(
    "error",
    "quality.perplexity.deltaNll",
    "z",
    "ΔNLL / SE(ΔNLL, clustered by sample) > limit and ΔNLL > 0.005 nats a token",
    "deltaNll",
  ),
  "quality/kl-ratio": facts(
    "error",
    "quality.kl.floorRatio",
    "ratio",
    "gm_t KL(P_ref ‖ P_cand) / gm_t KL(P_ref ‖ P_floor) > limit",
  ),
  "quality/flips": facts(
    "error",
    "quality.flips.count",
    "count",
    "flips > E + 3·√E, E = Σ_t Φ(−z_t), z_t = (top-1 − top-2) / (√2 σ_t)",
    "expected",
  ),
  "quality/real-flips": facts(
    "error",
    "quality.flips.real",
    "count",
    "#{flips with z_t ≥ 4} ≥ 3 and more than 5 % of all flips",
  ),

  "input/config": facts(
    "warning",
    "environment.differences",
    null,
    "a constant of model(reference) ≠ that of model(candidate), both stated",
    "key",
    "reference",
    "candidate",
  ),
  "input/floor-config": facts(
    "warning",
    null,
    null,
    "a constant of model(reference), or its weights, ≠ those of model(floor), both stated",
    "file",
    "key",
    "reference",
    "floor",
  ),
  "input/same-id": facts("warning", null, null, "id(reference) = id(candidate)", "id"),
  "input/isolated": facts(
    "info",
    "isolated",
    null,
    "replay_of.id(candidate) = id(reference), or both replay one dump",
    "file",
  ),
  "input/dtype": facts(
    "info",
    "dtype",
    null,
    "dtype(reference) ≠ dtype(candidate)",
    "reference",
    "candidate",
  ),
  "input/model": facts(
    "warning",
    "environment.differences",
    null,
    "a name, size or digest of model(reference) ≠ that of model(candidate)",
    "key",
    "reference",
    "candidate",
  ),
  "input/floor-dropped": facts(
    "warning",
    null,
    null,
    "id(floor) = id(candidate), or bytes(floor) = bytes(candidate)",
    "file",
  ),
  "input/floor-scaled": facts(
    "warning",
    null,
    "ratio",
    "u(floor) ≠ u(candidate): ρ(floor) · u(candidate) / u(floor)",
    "file",
    "floor",
    "candidate",
  ),
  "input/floor-fallback": facts(
    "warning",
    null,
    "count",
    "a floor lacks rows of a tensor, or its own error is 4 times beyond the prior",
    "reason",
  ),
  "input/set-stranger": facts(
    "warning",
    null,
    null,
    "capture.set.role ∉ {reference, floor, forced}",
    "file",
  ),
  "input/forced-absent": facts(
    "warning",
    "own",
    null,
    "a reference set or --forced was given, and no forced reference has replay_of.id = id of the dump",
    "file",
    "command",
  ),
  "input/forced-dtype": facts(
    "warning",
    "own",
    null,
    "u(forced) > u(reference)",
    "file",
    "forced",
    "reference",
  ),
  "input/own-unknown": facts(
    "warning",
    "own",
    null,
    "the forced reference, or that of every floor, leaves a row of the tensor without a figure",
    "reason",
  ),
  "input/repaired": facts("warning", null, null, "run.end says `repaired`", "file"),
  "input/text-differs": facts(
    "info",
    null,
    "count",
    "prompt or token_text differ while input_ids agree",
    "name",
  ),
  "input/unverified": facts("warning", null, null, "no input_ids and no input.0 on either side"),
  "input/repeats": facts("warning", null, "count", "repeat > 0 in a dump", "file"),
};
