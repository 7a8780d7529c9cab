/**
 * What statistics decide of a tensor that is not stored densely on both sides:
 * they can break a rule, and never keep one that looks at single elements.
 */

import type { Unit } from "../align/align.ts";
import { DTYPES, isFloatDType } from "../core/dtype.ts";
import type { StatsMeasurement } from "../measure/stats-figures.ts";
import { isWithin } from "./findings.ts";
import type { JudgeContext, Report, ReportFewTokens } from "./judge-tensor.ts";
import { priorLimitsOf } from "./limits.ts";
import type { RuleId } from "./rules.ts";
import { setBy } from "./set-limits.ts";

export interface StatisticsJudgement {
  /** Rules that the statistics neither break nor keep. */
  readonly open: readonly RuleId[];
  readonly decidedBy: "exact" | "prior" | null;
}

const FLOOR_RULES = [
  "layer/floor-ratio",
  "layer/floor-ratio-p99",
  "layer/floor-token",
  "layer/floor-sample",
] as const satisfies readonly RuleId[];

const PRIOR_RULES = [
  "layer/prior",
  "layer/prior-sample",
  "layer/prior-token",
] as const satisfies readonly RuleId[];

/**
 * Reports the rules that the statistics prove broken; says which stay open.
 *
 * The judged size of an error is a mean over rows, of which a bound on the
 * whole tensor says nothing; only the largest row cannot be smaller than the
 * whole. So of the layer rules `layer/prior-token` can be broken, where no
 * floor has the tensor densely, which would decide in the prior's place.
 */
export function judgeStatistics(
  unit: Unit,
  measurement: StatsMeasurement,
  context: JudgeContext,
  report: Report,
  fewTokens: ReportFewTokens,
): StatisticsJudgement {
  const { figures, allFinite, belowLargest, infiniteRow } = measurement;
  const open: RuleId[] = [];
  const lower = { bound: "lower" } as const;
  const maxFinite = DTYPES[unit.pairs[0]?.candidate.dtype ?? "F32"].maxFinite ?? 0;
  const counts = [
    ["finite/mismatched", figures.mismatched, allFinite, lower],
    ["finite/saturation", figures.saturated, belowLargest, { ...lower, maxFinite }],
  ] as const;
  for (const [rule, value, settled, detail] of counts) {
    if (value > 0) report(rule, { value, limit: 0, limitFrom: "structure", detail });
    else if (!settled) open.push(rule);
  }
  let decidedBy: StatisticsJudgement["decidedBy"] = null;
  if (context.scale.exact) {
    decidedBy = judgeEquality(unit, measurement, report) ? "exact" : null;
    if (decidedBy === null) open.push("exact/bits");
  } else {
    if (infiniteRow) {
      report("layer/infinite", { value: 1, limit: 0, limitFrom: "method", detail: lower });
    }
    const byFloor = unit.pairs.every(({ floors }) =>
      floors.some((floor) => floor?.encoding === "dense" && isFloatDType(floor.dtype)),
    );
    const limit = priorLimitsOf(unit, { u: coarsestU(unit, context), rows: 1 }, context).token;
    const bound = figures.bounds?.tokenRelL2Max ?? 0;
    if (!byFloor && !isWithin(bound, limit)) {
      fewTokens("layer/prior-token", { value: bound, limit, limitFrom: "prior", detail: lower });
      decidedBy = "prior";
    }
    open.push(...(byFloor ? FLOOR_RULES : PRIOR_RULES));
  }
  judgeByUser(figures.bounds, context, report, open);
  return { open, decidedBy };
}

/** Whether the statistics prove that the two sides are not equal. */
function judgeEquality(unit: Unit, { differs }: StatsMeasurement, report: Report): boolean {
  const other = unit.pairs.find(({ reference, candidate }) => reference.dtype !== candidate.dtype);
  if (other !== undefined) {
    const { reference, candidate } = other;
    report("exact/dtype", {
      limitFrom: "preset",
      detail: { reference: reference.dtype, candidate: candidate.dtype },
    });
    return true;
  }
  if (differs) {
    const detail = { bound: "lower" };
    report("exact/bits", { value: 1, limit: 0, limitFrom: "preset", detail });
  }
  return differs;
}

function judgeByUser(
  bounds: StatsMeasurement["figures"]["bounds"],
  context: JudgeContext,
  report: Report,
  open: RuleId[],
): void {
  const figures = [
    ["limit/rel-l2", "maxRelL2", bounds?.relL2],
    ["limit/max-abs", "maxAbs", bounds?.maxAbs],
    ["limit/mse", "maxMse", bounds?.mse],
  ] as const;
  for (const [rule, name, value] of figures) {
    const limit = context.limits[name];
    if (limit === undefined) continue;
    if (value === undefined || isWithin(value, limit)) open.push(rule);
    else
      report(rule, { value, limit, limitFrom: setBy(context, name), detail: { bound: "lower" } });
  }
  const { minCosine } = context.limits;
  if (minCosine === undefined) return;
  const cosine = bounds?.cosine ?? 1;
  if (cosine >= minCosine) open.push("limit/cosine");
  else {
    const detail = { bound: "upper" };
    const limitFrom = setBy(context, "minCosine");
    report("limit/cosine", { value: cosine, limit: minCosine, limitFrom, detail });
  }
}

function coarsestU(unit: Unit, { scale }: JudgeContext): number {
  return unit.pairs.reduce(
    (coarsest, { candidate }) => Math.max(coarsest, DTYPES[candidate.dtype].u ?? 0),
    scale.u,
  );
}
