/**
 * The verdict on a comparison: every tensor, then what the model says.
 */

import type { Absence, Alignment } from "../align/align.ts";
import type { AppliedRule, Finding } from "../core/findings.ts";
import type { CompareOptions, TensorLimitName } from "../core/options.ts";
import { OWN_STATISTICS } from "../core/own-figures.ts";
import type { Quality } from "../core/quality.ts";
import type { ComparisonResult } from "../core/result.ts";
import type { StepGroup, Verdict } from "../core/verdict.ts";
import { verdictOf } from "../core/verdict-of.ts";
import { finding } from "./findings.ts";
import { judgeQuality } from "./judge-quality.ts";
import type { JudgeContext, TensorJudgement } from "./judge-tensor.ts";
import { MAX_FLOOR_RATIO, MAX_FLOOR_RATIO_P99, MAX_FLOOR_TOKEN_RATIO } from "./limits.ts";
import type { RuleId } from "./rules.ts";
import { setBy } from "./set-limits.ts";
import type { LimitOptions } from "./user-limits.ts";

export interface Judgement {
  readonly verdict: Verdict;
  readonly findings: readonly Finding[];
  readonly rules: readonly AppliedRule[];
  readonly evidence: ComparisonResult["evidence"];
  /** Whether anything was compared: a layer or quality rule was decided, statistics, which can break rules, broke none, or there are continuations. */
  readonly compared: boolean;
}

/** How far measuring went. */
export interface Extent {
  /** Whether it stopped at the first failure. */
  readonly stopped: boolean;
  /** The step groups whose logits are reduced on a side. */
  readonly reduced: ReadonlySet<StepGroup>;
  /** Whether the logits of the prompts are log-probabilities of few bits on a side, which no rule for tensors fits. */
  readonly logProbabilities: boolean;
  /** The step groups of which every module is known to be right on its own input. */
  readonly settled: ReadonlySet<StepGroup>;
}

/** The verdict on a comparison whose tensors are judged. Findings about the inputs are the caller's. */
export function judge(
  alignment: Alignment,
  tensors: readonly TensorJudgement[],
  quality: Quality,
  context: JudgeContext,
  options: LimitOptions & Pick<CompareOptions, "only" | "skip">,
  { stopped, reduced, logProbabilities, settled }: Extent,
): Judgement {
  const ofQuality = judgeQuality(quality, options, {
    stopped,
    hasFloor: context.hasFloor,
    isolated: context.isolated,
    isRouted: context.firstRouter !== null,
    isFaultless: settled.has("prefill"),
  });
  const openLogits = [
    ...undecidedLogits(reduced, "reduced", ofQuality.rules, context),
    ...undecidedLogits(
      new Set(logProbabilities ? ["prefill"] : []),
      "log-probabilities",
      ofQuality.rules,
      context,
    ),
  ];
  const decides =
    tensors.some(({ decidedBy, verdict }) => decidedBy !== null || verdict === "fail") ||
    ofQuality.rules.some(
      // That a side repeats itself says nothing of the other.
      ({ rule, applied }) => applied && rule !== ("quality/determinism" satisfies RuleId),
    );
  // Tensors that were left out, or could not be compared, are another matter.
  const isWhole = options.only.length === 0 && options.skip.length === 0 && tensors.length === 0;
  const openTexts = decides || !isWhole ? [] : undecidedTexts(quality);
  const findings = context.levels.all([
    ...(["reference", "candidate"] as const).flatMap((side) => [
      ...alignment.missing[side].map((absence) => missing(absence, side)),
      ...alignment.notCaptured[side].map((absence) => notCaptured(absence, side)),
    ]),
    ...fallbacks(tensors),
    ...tensors.flatMap((tensor) => tensor.findings),
    ...openLogits,
    ...ofQuality.findings,
    ...openTexts,
  ]);
  const evidence = context.scale.exact
    ? "exact"
    : tensors.some(({ own }) => own.decidedBy !== null)
      ? "forced"
      : tensors.some(({ decidedBy }) => decidedBy === "floor")
        ? "floor"
        : "prior";
  return {
    verdict: verdictOf(findings),
    findings,
    rules: context.levels.applied([...layerRules(tensors, context), ...ofQuality.rules]),
    evidence,
    compared:
      decides ||
      openTexts.length > 0 ||
      findings.some(
        ({ rule, detail }) => rule === "layer/undecided" && UNDECIDED_FIGURES.has(detail["reason"]),
      ),
  };
}

function missing(absence: Absence, side: "reference" | "candidate"): Finding {
  return finding("structure/missing", {
    tensor: absence.name,
    step: absence.group,
    sample: absence.firstSample,
    value: absence.places.length,
    limit: 0,
    limitFrom: "structure",
    detail: { side },
  });
}

function notCaptured(absence: Absence, side: "reference" | "candidate"): Finding {
  return finding("structure/not-captured", {
    tensor: absence.name,
    step: absence.group,
    value: absence.places.length,
    detail: { side },
  });
}

/** One finding for each reason why a floor that was given did not decide. */
function fallbacks(tensors: readonly TensorJudgement[]): readonly Finding[] {
  return (["floor-lacks-rows", "floor-too-large"] as const).flatMap((reason) => {
    const count = tensors.filter(({ floorFallback }) => floorFallback === reason).length;
    return count === 0
      ? []
      : [finding("input/floor-fallback", { value: count, detail: { reason } })];
  });
}

/** Rules that keep or break something about the logits of the prompts, whatever form they are stored in. */
const DECIDE_REDUCED = new Set<string>([
  "quality/nll",
  "limit/ppl-increase",
  "limit/top1",
] satisfies readonly RuleId[]);

/** Why a tensor is left open of which there are figures all the same. */
const UNDECIDED_FIGURES = new Set<unknown>(["statistics", "log-probabilities"]);

/**
 * Logits of another form that no rule decides: those of decode steps, of an isolated
 * replay, and those of prompts where no rule applies. That no rule speaks of
 * them is no reason to pass; bit equality they never prove.
 */
function undecidedLogits(
  groups: ReadonlySet<StepGroup>,
  reason: "reduced" | "log-probabilities",
  rules: readonly AppliedRule[],
  { scale }: JudgeContext,
): readonly Finding[] {
  const decided =
    !scale.exact &&
    rules.some(({ rule, step, applied }) => applied && step === null && DECIDE_REDUCED.has(rule));
  return [...groups]
    .filter((step) => step === "decode" || !decided)
    .map((step) => finding("layer/undecided", { tensor: "logits", step, detail: { reason } }));
}

/** Continuations of the same prompts where nothing else was compared: shown as far as they reach, and no pass. */
function undecidedTexts({ generation }: Quality): readonly Finding[] {
  if (generation === null) return [];
  const { listed, omitted, only, sampled } = generation;
  const shared = listed.length + omitted - only.reference - only.candidate;
  if (shared === 0) return [];
  const reason = sampled.length > 0 ? "sampled" : "texts-alone";
  return [finding("quality/undecided", { detail: { reason } })];
}

/** The rules that the tensors were held to; limits of the prior differ from tensor to tensor. */
function layerRules(
  tensors: readonly TensorJudgement[],
  context: JudgeContext,
): readonly AppliedRule[] {
  const { limits } = context;
  const applied = (
    rule: RuleId,
    limit: number | null,
    limitFrom: AppliedRule["limitFrom"],
  ): AppliedRule => ({
    rule,
    step: null,
    applied: true,
    limit,
    limitFrom,
    decide: null,
    reason: null,
  });
  const decidedBy = new Set(tensors.map((tensor) => tensor.decidedBy));
  const ownDecidedBy = new Set(tensors.map(({ own }) => own.decidedBy));
  const isOverridden = (name: TensorLimitName): boolean =>
    context.overrides.some((one) => one.limits[name] !== undefined);
  const ratio = isOverridden("maxFloorRatio") ? null : (limits.maxFloorRatio ?? MAX_FLOOR_RATIO);
  const ratioFrom =
    ratio === null
      ? "config"
      : limits.maxFloorRatio === undefined
        ? "method"
        : setBy(context, "maxFloorRatio");
  const byUser = [
    ["limit/rel-l2", "maxRelL2"],
    ["limit/cosine", "minCosine"],
    ["limit/max-abs", "maxAbs"],
    ["limit/mse", "maxMse"],
  ] as const;
  return [
    applied("structure/missing", 0, "structure"),
    applied("structure/shape", 0, "structure"),
    applied("finite/mismatched", 0, "structure"),
    applied("finite/saturation", 0, "structure"),
    ...(decidedBy.has("exact") ? [applied("exact/bits", 0, "preset")] : []),
    ...(decidedBy.has("floor")
      ? [
          applied("layer/floor-ratio", ratio, ratioFrom),
          applied("layer/floor-ratio-p99", MAX_FLOOR_RATIO_P99, "method"),
          applied("layer/floor-token", MAX_FLOOR_TOKEN_RATIO, "method"),
          applied("layer/floor-sample", ratio, ratioFrom),
        ]
      : []),
    ...(decidedBy.has("prior")
      ? [
          applied("layer/prior", null, "prior"),
          applied("layer/prior-sample", null, "prior"),
          applied("layer/prior-token", null, "prior"),
        ]
      : []),
    ...(tensors.some(({ own }) => own.decidedBy !== null)
      ? [applied("own/finite", 0, "method")]
      : []),
    ...(ownDecidedBy.has("floor")
      ? OWN_STATISTICS.map((name) => applied(`own/${name}`, null, "method"))
      : []),
    ...(ownDecidedBy.has("fixed") ? [applied("own/fixed", null, "prior")] : []),
    ...byUser.flatMap(([rule, name]) => {
      if (isOverridden(name)) return [applied(rule, null, "config")];
      const limit = limits[name];
      return limit === undefined ? [] : [applied(rule, limit, setBy(context, name))];
    }),
  ];
}
