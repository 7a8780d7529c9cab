/** Facts of the rules about one tensor's error: its own, and that of a plain pair. */

import { facts } from "./rule-fact.ts";

export const LAYER_RULE_FACTS = {
  "own/finite": facts(
    "error",
    "own.mismatched",
    "count",
    "#{positions of another kind (finite, NaN, +Inf, −Inf) than in the forced reference} + #{t : ‖x_t‖ = 0 and ‖y_t‖ > 0} > 0",
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
  "layer/routed": facts(
    "warning",
    "floor.floorTokenRatio",
    "ratio",
    "value of a rule of single tokens > limit in a tensor that a router decides; over the limit",
    "rule",
  ),
  "layer/undecided": facts("warning", null, null, "no layer rule could be computed", "reason"),
} as const;
