/**
 * The verdict on one tensor: structure, finite values, its error against the
 * noise floor or the prior, and the user's limits.
 */

import type { Unit } from "../align/align.ts";
import { DTYPES } from "../core/dtype.ts";
import type { Finding, LimitSource } from "../core/findings.ts";
import type { CompareOptions } from "../core/options.ts";
import type { TokenAt } from "../core/places.ts";
import type { FloorFigures } from "../core/tensor-result.ts";
import type { Verdict } from "../core/verdict.ts";
import { verdictOf } from "../core/verdict-of.ts";
import type { TensorFigures, TensorMeasurement } from "../measure/measure-tensor.ts";
import { leastRatios } from "../measure/noise-floor.ts";
import type { OwnMeasurement } from "../measure/own.ts";
import type { StatsMeasurement } from "../measure/stats-figures.ts";
import { finding, isWithin } from "./findings.ts";
import { judgeOwn, type OwnJudgement, unjudgedOwn } from "./judge-own.ts";
import { judgeStatistics } from "./judge-statistics.ts";
import type { Levels } from "./levels.ts";
import {
  MAX_FLOOR_RATIO,
  MAX_FLOOR_RATIO_P99,
  MAX_FLOOR_TOKEN_RATIO,
  type PriorLimits,
  priorLimitsOf,
  rowsAllowance,
} from "./limits.ts";
import type { Scale } from "./presets.ts";
import { dependsOnRouting, type FewTokensRule } from "./routing.ts";
import type { RuleId } from "./rules.ts";
import { isSet, limitsFor, setBy } from "./set-limits.ts";

/** A unit with what came of measuring it. */
export interface MeasuredUnit {
  readonly unit: Unit;
  /** Null where shapes disagree or the data cannot be measured. */
  readonly measurement: TensorMeasurement | null;
  /** Why it cannot. */
  readonly unmeasurable: "reduced" | "integer" | null;
  readonly own: OwnMeasurement;
  /** What statistics say of a reduced tensor; null where there are none. */
  readonly statistics: StatsMeasurement | null;
}

/** What the judge needs to know of the whole comparison. */
export interface JudgeContext {
  readonly scale: Scale;
  /** Decoder layers: the depth of what comes after the last one, and of nothing more. */
  readonly layers: number;
  readonly hasFloor: boolean;
  /** Whether every tensor stands for itself: no error grows with depth then. */
  readonly isolated: boolean;
  /** The first layer of which a router chooses experts; null where none does. */
  readonly firstRouter: number | null;
  readonly limits: CompareOptions["limits"];
  readonly limitsOfConfig: CompareOptions["limitsOfConfig"];
  readonly overrides: CompareOptions["overrides"];
  readonly levels: Levels;
}

export interface TensorJudgement {
  readonly verdict: Verdict;
  readonly findings: readonly Finding[];
  /** Limit of `tokenRelL2.gm` where no floor decided. */
  readonly priorLimit: number | null;
  readonly decidedBy: "floor" | "prior" | "exact" | null;
  /** The figures against the floors that were used, or could not be; null where none covers the tensor. */
  readonly floor: FloorFigures | null;
  /** Why a floor that was given did not decide; null where every one did. */
  readonly floorFallback: "floor-lacks-rows" | "floor-too-large" | null;
  readonly own: OwnJudgement;
}

/** A unit with its verdict. */
export interface JudgedUnit {
  readonly measured: MeasuredUnit;
  readonly judgement: TensorJudgement;
}

/** Judges one tensor. */
export function judgeTensor(measured: MeasuredUnit, whole: JudgeContext): TensorJudgement {
  const { unit, measurement, statistics } = measured;
  const context = { ...whole, ...limitsFor(unit.name, whole) };
  const about = { tensor: unit.name, step: unit.group };
  const findings: Finding[] = [];
  const report = (rule: RuleId, parts: Parameters<typeof finding>[1]): void => {
    const found = context.levels.of(finding(rule, { ...about, ...parts }));
    if (found !== null) findings.push(found);
  };
  let own = unjudgedOwn(measured.own);
  const undecided = (reason: string, open: readonly RuleId[] = []): TensorJudgement => {
    report("layer/undecided", {
      detail: { reason, ...(open.length === 0 ? {} : { open: open.join(", ") }) },
    });
    return {
      verdict: findings.some(({ level }) => level === "error") ? "fail" : "inconclusive",
      findings,
      priorLimit: null,
      decidedBy: null,
      own,
      ...NO_FLOOR,
    };
  };

  if (unit.shapeConflict !== null) {
    const { sample, reference, candidate } = unit.shapeConflict;
    report("structure/shape", {
      sample,
      limitFrom: "structure",
      detail: { reference: `[${reference.join(", ")}]`, candidate: `[${candidate.join(", ")}]` },
    });
    return { verdict: "fail", findings, priorLimit: null, decidedBy: null, own, ...NO_FLOOR };
  }
  const fewTokens: ReportFewTokens = (rule, parts) => {
    // What the user sets holds whatever the reason.
    if (isSet(parts.limitFrom) || !dependsOnRouting(unit, context.firstRouter)) {
      report(rule, parts);
      return;
    }
    const { value, limit, detail } = parts;
    report("layer/routed", {
      ...parts,
      value: value / limit,
      limit: 1,
      detail: { ...detail, rule },
    });
  };
  if (measurement === null) {
    if (statistics === null) return undecided(measured.unmeasurable ?? "reduced");
    const { open, decidedBy } = judgeStatistics(unit, statistics, context, report, fewTokens);
    if (findings.every(({ level }) => level !== "error")) return undecided("statistics", open);
    return { verdict: "fail", findings, priorLimit: null, decidedBy, own, ...NO_FLOOR };
  }

  judgeFinite(measurement, unit, report);
  let decidedBy: TensorJudgement["decidedBy"] = null;
  let priorLimit: number | null = null;
  let floor: FloorFigures | null = null;
  let floorFallback: TensorJudgement["floorFallback"] = null;
  const { figures } = measurement;
  if (context.scale.exact) {
    decidedBy = "exact";
    judgeBits(measurement, unit, report);
  } else if (figures !== null) {
    const limits = priorLimitsOf(unit, { u: figures.u, rows: figures.measuredRows }, context);
    const usable = measurement.floors.filter((candidate) => candidate !== null);
    const plausible = usable.filter(({ floorGm }) => floorGm <= limits.floor);
    // Shown even where no floor decides.
    floor = leastRatios(plausible.length > 0 ? plausible : usable);
    if (usable.length < measurement.floors.length) floorFallback = "floor-lacks-rows";
    else if (plausible.length < usable.length) floorFallback = "floor-too-large";
    if (figures.infiniteRows > 0) {
      report("layer/infinite", {
        sample: figures.tokenRelL2.maxAt?.sample ?? null,
        value: figures.infiniteRows,
        limit: 0,
        limitFrom: "method",
        detail: tokenDetail(figures.tokenRelL2.maxAt),
      });
    }
    if (floor !== null && plausible.length > 0) {
      decidedBy = "floor";
      judgeByFloor(floor, figures.measuredRows, context, report, fewTokens);
    } else {
      decidedBy = "prior";
      priorLimit = limits.gm;
      judgeByPrior(figures, limits, report, fewTokens);
    }
  }
  if (!context.scale.exact) {
    own = judgeOwn(unit, measured.own, figures?.u ?? context.scale.u, report);
  }
  judgeByUser(figures, context, report);
  if (figures === null && decidedBy !== "exact") {
    return { ...undecided("no-finite-pair"), decidedBy: null };
  }
  return {
    verdict: verdictOf(findings),
    findings,
    priorLimit,
    decidedBy,
    floor,
    floorFallback,
    own,
  };
}

const NO_FLOOR = { floor: null, floorFallback: null } as const;

export type Report = (rule: RuleId, parts: Parameters<typeof finding>[1]) => void;

/** Reports what few tokens can break: left open where a router decides what they are. */
export type ReportFewTokens = (
  rule: FewTokensRule,
  parts: Parameters<Report>[1] & { readonly value: number; readonly limit: number },
) => void;

function judgeFinite(measurement: TensorMeasurement, unit: Unit, report: Report): void {
  const { mismatched, saturated, firstAt } = measurement.nonFinite;
  if (mismatched > 0) {
    report("finite/mismatched", {
      sample: firstAt?.sample ?? null,
      value: mismatched,
      limit: 0,
      limitFrom: "structure",
      detail:
        firstAt === null
          ? {}
          : {
              index: `[${firstAt.index.join(", ")}]`,
              reference: firstAt.reference,
              candidate: firstAt.candidate,
            },
    });
  }
  if (saturated > 0) {
    const maxFinite = DTYPES[unit.pairs[0]?.candidate.dtype ?? "F32"].maxFinite ?? 0;
    report("finite/saturation", {
      value: saturated,
      limit: 0,
      limitFrom: "structure",
      detail: { maxFinite },
    });
  }
}

function judgeBits(measurement: TensorMeasurement, unit: Unit, report: Report): void {
  const { bitsDiffering } = measurement;
  if (bitsDiffering === null) {
    const differing = unit.pairs.find((pair) => pair.reference.dtype !== pair.candidate.dtype);
    report("exact/dtype", {
      limitFrom: "preset",
      detail: {
        reference: differing?.reference.dtype ?? "",
        candidate: differing?.candidate.dtype ?? "",
      },
    });
  } else if (bitsDiffering > 0) {
    report("exact/bits", { value: bitsDiffering, limit: 0, limitFrom: "preset" });
  }
}

function judgeByFloor(
  floor: FloorFigures,
  rows: number,
  context: JudgeContext,
  report: Report,
  fewTokens: ReportFewTokens,
): void {
  const limit = context.limits.maxFloorRatio ?? MAX_FLOOR_RATIO;
  const limitFrom =
    context.limits.maxFloorRatio === undefined ? "method" : setBy(context, "maxFloorRatio");
  // What the user sets holds as it stands.
  const allowed = context.limits.maxFloorRatio ?? MAX_FLOOR_RATIO * rowsAllowance(rows);
  if (!isWithin(floor.floorRatio, allowed)) {
    report("layer/floor-ratio", { value: floor.floorRatio, limit: allowed, limitFrom });
  }
  const allowedP99 = MAX_FLOOR_RATIO_P99 * rowsAllowance(rows);
  if (!isWithin(floor.floorRatioP99, allowedP99)) {
    fewTokens("layer/floor-ratio-p99", {
      value: floor.floorRatioP99,
      limit: allowedP99,
      limitFrom: "method",
    });
  }
  if (!isWithin(floor.floorTokenRatio, MAX_FLOOR_TOKEN_RATIO)) {
    fewTokens("layer/floor-token", {
      sample: floor.floorTokenRatioAt?.sample ?? null,
      value: floor.floorTokenRatio,
      limit: MAX_FLOOR_TOKEN_RATIO,
      limitFrom: "method",
      detail: tokenDetail(floor.floorTokenRatioAt),
    });
  }
  if (!isWithin(floor.worstSampleFloorRatio, limit)) {
    fewTokens("layer/floor-sample", {
      sample: floor.worstSample,
      value: floor.worstSampleFloorRatio,
      limit,
      limitFrom,
    });
  }
}

function judgeByPrior(
  figures: TensorFigures,
  limits: PriorLimits,
  report: Report,
  fewTokens: ReportFewTokens,
): void {
  const { gm, max, maxAt } = figures.tokenRelL2;
  const { excess, sample } = figures.worstSample;
  if (!isWithin(gm, limits.gm)) {
    report("layer/prior", { value: gm, limit: limits.gm, limitFrom: "prior" });
  } else if (!isWithin(excess, limits.sample)) {
    fewTokens("layer/prior-sample", {
      sample,
      value: excess,
      limit: limits.sample,
      limitFrom: "prior",
    });
  }
  if (!isWithin(max, limits.token)) {
    fewTokens("layer/prior-token", {
      sample: maxAt?.sample ?? null,
      value: max,
      limit: limits.token,
      limitFrom: "prior",
      detail: tokenDetail(maxAt),
    });
  }
}

function judgeByUser(figures: TensorFigures | null, context: JudgeContext, report: Report): void {
  const { maxRelL2, minCosine, maxAbs, maxMse } = context.limits;
  const upper = (
    rule: RuleId,
    value: number | undefined,
    limit: number | undefined,
    limitFrom: LimitSource,
  ): void => {
    if (limit === undefined || (value !== undefined && isWithin(value, limit))) return;
    report(rule, { value: value ?? null, limit, limitFrom });
  };
  upper("limit/rel-l2", figures?.relL2, maxRelL2, setBy(context, "maxRelL2"));
  upper("limit/max-abs", figures?.maxAbs, maxAbs, setBy(context, "maxAbs"));
  upper("limit/mse", figures?.mse, maxMse, setBy(context, "maxMse"));
  if (minCosine !== undefined && !(figures !== null && figures.cosine >= minCosine)) {
    const limitFrom = setBy(context, "minCosine");
    report("limit/cosine", { value: figures?.cosine ?? null, limit: minCosine, limitFrom });
  }
}

function tokenDetail(at: TokenAt | null): Finding["detail"] {
  return at === null ? {} : { token: at.token };
}
