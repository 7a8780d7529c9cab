/**
 * The verdict on what the model says: the built-in rules where they apply, and
 * the user's limits by interval or by point.
 */

import type { CompareOptions } from "../core/options.ts";
import type {
  AppliedRule,
  ClusteredMean,
  Finding,
  LimitSource,
  Quality,
  StepGroup,
} from "../core/result.ts";
import { MIN_CLUSTERS_FOR_INTERVAL } from "../core/statistics.ts";
import { finding, isWithin } from "./findings.ts";
import {
  MAX_FLIP_EXCESS,
  MAX_KL_RATIO,
  MAX_NLL_Z,
  MAX_REAL_FLIP_SHARE,
  MIN_NLL_INCREASE,
  MIN_REAL_FLIPS,
  WARN_KL_RATIO,
} from "./limits.ts";
import type { RuleId } from "./rules.ts";

export interface QualityJudgement {
  readonly findings: readonly Finding[];
  readonly rules: readonly AppliedRule[];
  /** Whether a limit could be neither kept nor broken. */
  readonly inconclusive: boolean;
}

/** Why a figure may be missing. */
interface Circumstances {
  /** Whether measuring stopped before the logits. */
  readonly stopped: boolean;
  /** Whether a floor was given. */
  readonly hasFloor: boolean;
  /** Whether the candidate was fed with the reference's stream: its logits are not what the model says then. */
  readonly isolated: boolean;
}

/**
 * Judges the quality figures. A figure that is NaN is never a pass.
 */
export function judgeQuality(
  quality: Quality,
  options: Pick<CompareOptions, "limits" | "decide">,
  circumstances: Circumstances,
): QualityJudgement {
  const judge = new QualityJudge(quality, circumstances);
  judge.undefinedFigures(quality, { path: "" });
  if (quality.decode !== null) {
    judge.undefinedFigures(quality.decode, { path: "decode.", step: "decode" });
  }
  judge.nll(quality);
  judge.klRatio(quality);
  judge.flips(quality);
  judge.userLimits(quality, options);
  return judge;
}

class QualityJudge implements QualityJudgement {
  readonly findings: Finding[] = [];
  readonly rules: AppliedRule[] = [];
  inconclusive = false;
  /** Why a figure that comes from logits is missing where there are no logits at all. */
  private readonly absent: "isolated" | "stopped" | "no-logits";
  private readonly notAvailable: Quality["notAvailable"];
  /** Why a figure that comes from a floor's logits is missing. */
  private readonly noFloor: "no-floor" | "floor-lacks-rows";

  constructor({ notAvailable }: Quality, { stopped, hasFloor, isolated }: Circumstances) {
    this.notAvailable = notAvailable;
    this.absent = isolated ? "isolated" : stopped ? "stopped" : "no-logits";
    this.noFloor = hasFloor ? "floor-lacks-rows" : "no-floor";
  }

  undefinedFigures(
    quality: Pick<Quality, "perplexity" | "kl"> & Partial<Pick<Quality, "klLowerBound" | "lse">>,
    about: { readonly path: string; readonly step?: StepGroup },
  ): void {
    const { perplexity, kl, klLowerBound, lse } = quality;
    const figures: readonly (readonly [string, number | undefined])[] = [
      ["perplexity.reference", perplexity?.reference],
      ["perplexity.candidate", perplexity?.candidate],
      ["kl.mean", kl?.mean],
      ["klLowerBound.mean", klLowerBound?.mean],
      ["lse.meanAbs", lse?.meanAbs],
    ];
    const { path, step } = about;
    for (const [name, value] of figures) {
      if (value === undefined || Number.isFinite(value)) continue;
      const detail = { metric: path + name };
      this.findings.push(
        finding("quality/undefined", { value, detail, ...(step === undefined ? {} : { step }) }),
      );
    }
  }

  nll({ perplexity, kl }: Quality): void {
    if (perplexity === null) {
      const absent = kl === null ? this.absent : "no-predictions";
      this.notApplied("quality/nll", this.lack("perplexity") ?? absent);
      return;
    }
    if (perplexity.samples < MIN_CLUSTERS_FOR_INTERVAL) {
      this.notApplied("quality/nll", "few-samples");
      return;
    }
    this.applied("quality/nll", MAX_NLL_Z);
    const { mean, se } = perplexity.deltaNll;
    const z = mean === 0 ? 0 : mean / (se ?? 0);
    // Every sample worse by the same amount leaves a standard error of 0 and z = ∞.
    if (isWithin(z, MAX_NLL_Z) || isWithin(mean, MIN_NLL_INCREASE)) return;
    this.findings.push(
      finding("quality/nll", {
        value: z,
        limit: MAX_NLL_Z,
        limitFrom: "method",
        detail: { deltaNll: mean },
      }),
    );
  }

  klRatio({ kl }: Quality): void {
    if (kl === null) {
      this.notApplied("quality/kl-ratio", this.lack("kl") ?? this.absent);
      return;
    }
    const { floorRatio } = kl;
    if (floorRatio === null) {
      this.notApplied("quality/kl-ratio", this.noFloor);
      return;
    }
    this.applied("quality/kl-ratio", MAX_KL_RATIO);
    if (isWithin(floorRatio, WARN_KL_RATIO)) return;
    const fails = !isWithin(floorRatio, MAX_KL_RATIO);
    this.findings.push(
      finding("quality/kl-ratio", {
        level: fails ? "error" : "warning",
        value: floorRatio,
        limit: fails ? MAX_KL_RATIO : WARN_KL_RATIO,
        limitFrom: "method",
      }),
    );
  }

  flips({ flips }: Quality): void {
    if (flips?.sigmaFrom !== "floor") {
      const reason = flips === null ? (this.lack("flips") ?? this.absent) : this.noFloor;
      this.notApplied("quality/flips", reason);
      this.notApplied("quality/real-flips", reason);
      return;
    }
    const limit = flips.expected + MAX_FLIP_EXCESS * Math.sqrt(flips.expected);
    this.applied("quality/flips", limit);
    if (!isWithin(flips.count, limit)) {
      this.findings.push(
        finding("quality/flips", {
          value: flips.count,
          limit,
          limitFrom: "method",
          detail: { expected: flips.expected },
        }),
      );
    }
    // The limit that holds is the larger of the two.
    const realLimit = Math.max(MIN_REAL_FLIPS - 1, MAX_REAL_FLIP_SHARE * flips.count);
    this.applied("quality/real-flips", realLimit);
    if (!isWithin(flips.real, realLimit)) {
      this.findings.push(
        finding("quality/real-flips", { value: flips.real, limit: realLimit, limitFrom: "method" }),
      );
    }
  }

  userLimits(
    quality: Quality,
    { limits, decide }: Pick<CompareOptions, "limits" | "decide">,
  ): void {
    const { perplexity, kl, klLowerBound, top1Agreement: top1, firstToken } = quality;
    const clusters = perplexity?.samples ?? firstToken?.samples ?? 0;
    const byInterval = decide === "interval" && clusters >= MIN_CLUSTERS_FOR_INTERVAL;
    const common = { byInterval };
    this.userLimit("limit/ppl-increase", limits.maxPplIncrease, {
      ...common,
      figure: "perplexity",
      value: perplexity?.relativeIncrease ?? null,
      ci95: perplexity?.ci95 ?? null,
      tokens: perplexity?.tokens ?? 0,
      atMost: true,
    });
    this.userLimit("limit/kl", limits.maxKl, {
      ...common,
      figure: "kl",
      value: kl?.mean ?? null,
      ci95: kl?.ci95 ?? null,
      least: klLowerBound,
      tokens: kl?.positions ?? 0,
      atMost: true,
    });
    this.userLimit("limit/top1", limits.minTop1, {
      ...common,
      figure: "top1Agreement",
      value: top1?.share ?? null,
      ci95: top1?.ci95 ?? null,
      tokens: top1?.positions ?? 0,
      atMost: false,
    });
    this.userLimit("limit/first-token", limits.minFirstToken, {
      ...common,
      byInterval: decide === "interval" && (firstToken?.samples ?? 0) >= MIN_CLUSTERS_FOR_INTERVAL,
      figure: "firstToken",
      value: firstToken?.share ?? null,
      ci95: firstToken?.ci95 ?? null,
      tokens: firstToken?.samples ?? 0,
      atMost: false,
    });
  }

  private userLimit(rule: RuleId, limit: number | undefined, figure: LimitedFigure): void {
    if (limit === undefined) return;
    const { value } = figure;
    this.applied(rule, limit, "flag");
    const lack = value === null ? this.lack(figure.figure) : null;
    if (lack !== null) {
      this.reducedLimit(rule, limit, lack, figure);
      return;
    }
    if (value === null || Number.isNaN(value)) {
      // A limit that nothing was measured against is not kept.
      this.findings.push(finding(rule, { value, limit, limitFrom: "flag" }));
      return;
    }
    // As if every limit were an upper one.
    const sign = figure.atMost ? 1 : -1;
    const interval = figure.byInterval ? figure.ci95 : null;
    const [low, high] =
      interval === null
        ? [sign * value, sign * value]
        : [Math.min(...interval.map((x) => sign * x)), Math.max(...interval.map((x) => sign * x))];
    if (isWithin(high, sign * limit)) return;
    const fails = !isWithin(low, sign * limit);
    if (!fails) this.inconclusive = true;
    const halfWidth = (high - low) / 2;
    const distance = Math.abs(sign * limit - sign * value);
    this.findings.push(
      finding(rule, {
        level: fails ? "error" : "warning",
        value,
        limit,
        limitFrom: "flag",
        detail: {
          decide: interval === null ? "point" : "interval",
          ...(interval === null ? {} : { low: interval[0], high: interval[1] }),
          // Half the width of an interval shrinks with the root of the number of tokens.
          ...(fails
            ? {}
            : { tokensNeeded: Math.ceil(figure.tokens * (halfWidth / distance) ** 2) }),
        },
      }),
    );
  }

  /**
   * A limit on a figure that the stored forms of the logits cannot give: broken
   * where even the least that it can be is beyond the limit, else open.
   */
  private reducedLimit(
    rule: RuleId,
    limit: number,
    reason: string,
    { least = null, byInterval }: LimitedFigure,
  ): void {
    const low = byInterval ? (least?.ci95?.[0] ?? least?.mean) : least?.mean;
    const fails = low !== undefined && !isWithin(low, limit);
    if (!fails) this.inconclusive = true;
    this.findings.push(
      finding(rule, {
        level: fails ? "error" : "warning",
        value: least?.mean ?? null,
        limit,
        limitFrom: "flag",
        detail: { reason, ...(least === null ? {} : { bound: "lower" }) },
      }),
    );
  }

  /** Why the stored forms of the logits cannot give a figure; null where that is not why it is missing. */
  private lack(figure: string): string | null {
    return this.notAvailable.find((one) => one.figure === figure)?.reason ?? null;
  }

  private applied(rule: RuleId, limit: number, limitFrom: LimitSource = "method"): void {
    this.rules.push({ rule, applied: true, limit, limitFrom, reason: null });
  }

  private notApplied(rule: RuleId, reason: string): void {
    this.rules.push({ rule, applied: false, limit: null, limitFrom: null, reason });
  }
}

interface LimitedFigure {
  /** Its path in {@link Quality}. */
  readonly figure: string;
  /** What the figure is at least, where no more is known. */
  readonly least?: ClusteredMean | null;
  readonly value: number | null;
  readonly ci95: readonly [number, number] | null;
  /** Whether the interval decides instead of the point value. */
  readonly byInterval: boolean;
  /** Tokens (or samples) that the figure is made of. */
  readonly tokens: number;
  /** Whether the limit is an upper one. */
  readonly atMost: boolean;
}
