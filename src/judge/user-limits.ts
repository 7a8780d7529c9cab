/** The user's limits on what the model says: held by interval or by point, to the prompts and to the decode steps. */

import type { AppliedRule, Finding } from "../core/findings.ts";
import type { CompareOptions } from "../core/options.ts";
import type { ClusteredMean, DecodeQuality, Quality } from "../core/quality.ts";
import {
  MIN_CLUSTERS_FOR_INTERVAL,
  timesToDecideMean,
  trialsToDecideShare,
} from "../core/statistics.ts";
import type { StepGroup } from "../core/verdict.ts";
import { finding, isWithin } from "./findings.ts";
import type { RuleId } from "./rules.ts";
import { setBy } from "./set-limits.ts";

/** What was set. */
export type LimitOptions = Pick<CompareOptions, "limits" | "limitsOfConfig" | "decide">;

/** What came of the limits. */
export interface LimitsJudgement {
  readonly findings: readonly Finding[];
  readonly rules: readonly AppliedRule[];
  /** Whether a limit could be neither kept nor broken. */
  readonly inconclusive: boolean;
}

/**
 * Holds the figures to the limits that are set. A limit that nothing was
 * measured against is not kept; only where the decode steps have no such
 * figure, what the prompts say stands alone.
 */
export function judgeUserLimits(quality: Quality, options: LimitOptions): LimitsJudgement {
  const { limits, decide } = options;
  const findings: Finding[] = [];
  const rules: AppliedRule[] = [];
  const hold = (figures: readonly LimitedFigure[], step: StepGroup | null): void => {
    for (const figure of figures) {
      const limit = limits[figure.option];
      if (limit === undefined) continue;
      const byInterval = decide === "interval" && figure.samples >= MIN_CLUSTERS_FOR_INTERVAL;
      const limitFrom = setBy(options, figure.option);
      const parts = { ...(step === null ? {} : { step }), limit, limitFrom };
      const found = judgeFigure(figure, limit, byInterval, quality.notAvailable);
      if (found !== null) findings.push(finding(figure.rule, { ...parts, ...found }));
      rules.push({
        rule: figure.rule,
        step,
        applied: true,
        limit,
        limitFrom,
        decide: byInterval ? "interval" : "point",
        reason: null,
      });
    }
  };
  hold([...figuresOf(quality, quality.klLowerBound), firstTokenOf(quality)], null);
  if (quality.decode !== null) {
    hold(
      figuresOf(quality.decode, null).filter(({ value }) => value !== null),
      "decode",
    );
  }
  return { findings, rules, inconclusive: findings.some(({ level }) => level === "warning") };
}

/** A figure that the user may limit. */
interface LimitedFigure {
  readonly rule: RuleId;
  readonly option: "maxPplIncrease" | "maxKl" | "minTop1" | "minFirstToken";
  /** Its path in {@link Quality}. */
  readonly path: string;
  readonly value: number | null;
  readonly ci95: readonly [number, number] | null;
  /** What the figure is at least, where no more is known. */
  readonly least?: ClusteredMean | null;
  readonly samples: number;
  /** Whether the limit is an upper one. */
  readonly atMost: boolean;
  /** How many tokens (or samples) leave a limit outside the interval. */
  readonly needed: (limit: number) => number;
  readonly unit: "tokensNeeded" | "samplesNeeded";
}

function figuresOf(
  {
    perplexity,
    kl,
    top1Agreement: top1,
  }: Pick<DecodeQuality, "perplexity" | "kl" | "top1Agreement">,
  least: Quality["klLowerBound"],
): readonly LimitedFigure[] {
  return [
    {
      rule: "limit/ppl-increase",
      option: "maxPplIncrease",
      path: "perplexity",
      value: perplexity?.relativeIncrease ?? null,
      ci95: perplexity?.ci95 ?? null,
      samples: perplexity?.samples ?? 0,
      atMost: true,
      // The mean difference of the losses is what has an interval by Student's t.
      needed: (limit) =>
        perplexity === null
          ? Number.NaN
          : perplexity.tokens * timesToDecideMean(perplexity.deltaNll, Math.log1p(limit)),
      unit: "tokensNeeded",
    },
    {
      rule: "limit/kl",
      option: "maxKl",
      path: "kl",
      value: kl?.mean ?? null,
      ci95: kl?.ci95 ?? null,
      least,
      samples: (kl ?? least)?.clusters ?? 0,
      atMost: true,
      needed: (limit) => (kl === null ? Number.NaN : kl.positions * timesToDecideMean(kl, limit)),
      unit: "tokensNeeded",
    },
    {
      rule: "limit/top1",
      option: "minTop1",
      path: "top1Agreement",
      value: top1?.share ?? null,
      ci95: top1?.ci95 ?? null,
      samples: (kl ?? least)?.clusters ?? 0,
      atMost: false,
      needed: (limit) => trialsToDecideShare(top1?.share ?? Number.NaN, limit),
      unit: "tokensNeeded",
    },
  ];
}

function firstTokenOf({ firstToken }: Quality): LimitedFigure {
  return {
    rule: "limit/first-token",
    option: "minFirstToken",
    path: "firstToken",
    value: firstToken?.share ?? null,
    ci95: firstToken?.ci95 ?? null,
    samples: firstToken?.samples ?? 0,
    atMost: false,
    needed: (limit) => trialsToDecideShare(firstToken?.share ?? Number.NaN, limit),
    unit: "samplesNeeded",
  };
}

/** What is found of one figure; null where it keeps its limit. */
function judgeFigure(
  figure: LimitedFigure,
  limit: number,
  byInterval: boolean,
  notAvailable: Quality["notAvailable"],
): Pick<Finding, "level" | "value" | "detail"> | null {
  const { value, path, atMost } = figure;
  const lack = notAvailable.find((one) => one.figure === path)?.reason;
  if (value === null && lack !== undefined) return judgeBound(figure, limit, byInterval, lack);
  if (value === null || Number.isNaN(value)) return { level: "error", value, detail: {} };
  // As if every limit were an upper one.
  const sign = atMost ? 1 : -1;
  const interval = byInterval ? figure.ci95 : null;
  const bounds = (interval ?? [value]).map((bound) => sign * bound);
  if (isWithin(Math.max(...bounds), sign * limit)) return null;
  const fails = !isWithin(Math.min(...bounds), sign * limit);
  return {
    level: fails ? "error" : "warning",
    value,
    detail: {
      decide: interval === null ? "point" : "interval",
      ...(interval === null ? {} : { low: interval[0], high: interval[1] }),
      ...(fails ? {} : { [figure.unit]: Math.ceil(figure.needed(limit)) }),
    },
  };
}

/**
 * A limit on a figure that the stored forms of the logits cannot give: broken
 * where even the least that it can be is beyond the limit, else open.
 */
function judgeBound(
  { least = null }: LimitedFigure,
  limit: number,
  byInterval: boolean,
  reason: string,
): Pick<Finding, "level" | "value" | "detail"> {
  const low = byInterval ? (least?.ci95?.[0] ?? least?.mean) : least?.mean;
  const fails = low !== undefined && !isWithin(low, limit);
  return {
    level: fails ? "error" : "warning",
    value: least?.mean ?? null,
    detail: { reason, ...(least === null ? {} : { bound: "lower" }) },
  };
}
