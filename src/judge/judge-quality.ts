/**
 * The verdict on what the model says: the built-in rules where they apply, and
 * the user's limits by interval or by point.
 */

import type { AppliedRule, Finding, LimitSource } from "../core/findings.ts";
import { isOpen } from "../core/open-finding.ts";
import type { Quality } from "../core/quality.ts";
import { MIN_CLUSTERS_FOR_INTERVAL } from "../core/statistics.ts";
import type { StepGroup } from "../core/verdict.ts";
import { finding, isWithin } from "./findings.ts";
import { judgeDeterminism } from "./judge-determinism.ts";
import {
  MAX_FLIP_EXCESS,
  MAX_KL_RATIO,
  MAX_NLL_Z,
  MAX_REAL_FLIP_SHARE,
  MIN_FLIPS,
  MIN_NLL_INCREASE,
  WARN_KL_RATIO,
  WARN_NLL_Z,
} from "./limits.ts";
import type { RuleId } from "./rules.ts";
import { judgeUserLimits, type LimitOptions, type LimitsJudgement } from "./user-limits.ts";

/** Why a figure may be missing. */
interface Circumstances {
  /** Whether measuring stopped before the logits. */
  readonly stopped: boolean;
  /** Whether a floor was given. */
  readonly hasFloor: boolean;
  /** Whether the candidate was fed with the reference's stream: its logits are not what the model says then. */
  readonly isolated: boolean;
  /** Whether a router chooses experts. */
  readonly isRouted: boolean;
  /** Whether every module of the prompts is known to be right on its own input. */
  readonly isFaultless: boolean;
}

/**
 * Judges the quality figures. A figure that is NaN is never a pass.
 */
export function judgeQuality(
  quality: Quality,
  options: LimitOptions,
  circumstances: Circumstances,
): LimitsJudgement {
  const judge = new QualityJudge(quality, circumstances);
  judge.undefinedFigures(quality, { path: "" });
  if (quality.decode !== null) {
    judge.undefinedFigures(quality.decode, { path: "decode.", step: "decode" });
  }
  judge.nll(quality);
  judge.klRatio(quality);
  judge.flips(quality);
  judge.keywords(quality);
  const limits = judgeUserLimits(quality, options);
  const determinism = judgeDeterminism(quality, options);
  const builtIn = [...judge.findings, ...determinism.findings];
  return {
    findings: [...builtIn, ...limits.findings],
    rules: [...judge.rules, ...determinism.rules, ...limits.rules],
    inconclusive: limits.inconclusive || builtIn.some(isOpen),
  };
}

class QualityJudge {
  readonly findings: Finding[] = [];
  readonly rules: AppliedRule[] = [];
  /** Why a figure that comes from logits is missing where there are no logits at all. */
  private readonly absent: "isolated" | "stopped" | "no-logits";
  private readonly notAvailable: Quality["notAvailable"];
  /** Why a figure that comes from a floor's logits is missing. */
  private readonly noFloor: "no-floor" | "floor-lacks-rows";

  private readonly isRouted: boolean;
  private readonly isFaultless: boolean;

  constructor({ notAvailable }: Quality, circumstances: Circumstances) {
    const { stopped, hasFloor, isolated } = circumstances;
    this.isRouted = circumstances.isRouted;
    this.isFaultless = circumstances.isFaultless;
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
    if (isWithin(z, WARN_NLL_Z) || isWithin(mean, MIN_NLL_INCREASE)) return;
    const fails = !isWithin(z, MAX_NLL_Z);
    this.findings.push(
      finding("quality/nll", {
        level: fails ? "error" : "warning",
        value: z,
        limit: fails ? MAX_NLL_Z : WARN_NLL_Z,
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
    const limit = Math.max(
      MIN_FLIPS - 1,
      flips.expected + MAX_FLIP_EXCESS * Math.sqrt(flips.expected),
    );
    this.applied("quality/flips", limit);
    if (!isWithin(flips.count, limit)) {
      this.flipped("quality/flips", flips.count, limit, { expected: flips.expected });
    }
    // The limit that holds is the larger of the two.
    const realLimit = Math.max(MIN_FLIPS - 1, MAX_REAL_FLIP_SHARE * flips.count);
    this.applied("quality/real-flips", realLimit);
    if (!isWithin(flips.real, realLimit)) {
      this.flipped("quality/real-flips", flips.real, realLimit, {});
    }
  }

  /**
   * A keyword that the reference's continuation holds is one that the candidate's
   * must hold, because somebody asked for it. Without a text that decides it, it is
   * open.
   */
  keywords({ generation }: Quality): void {
    const totals = generation?.keywords ?? null;
    if (generation === null || totals === null) return;
    if (generation.sampled.length > 0) {
      this.notApplied("quality/keywords", "sampled");
      return;
    }
    const { keywords, lost, open, firstLost, firstOpen } = totals;
    this.applied("quality/keywords", 0, "flag");
    if (lost > 0) {
      const about = { value: lost, limit: 0, limitFrom: "flag", sample: firstLost } as const;
      this.findings.push(finding("quality/keywords", { ...about, detail: { keywords } }));
    }
    if (open === 0) return;
    const detail = { reason: "no-generated-text" };
    this.findings.push(finding("quality/undecided", { sample: firstOpen, detail }));
  }

  /**
   * Flips beyond a limit. Behind a router the floor does not tell how far the
   * logits of a token may legally move: one that other experts answered flips
   * beyond any near tie. That is left open, and a warning where every module is
   * known to be right.
   */
  private flipped(
    rule: "quality/flips" | "quality/real-flips",
    value: number,
    limit: number,
    detail: Finding["detail"],
  ): void {
    const about = { limitFrom: "method" } as const;
    this.findings.push(
      !this.isRouted
        ? finding(rule, { ...about, value, limit, detail })
        : this.isFaultless
          ? finding(rule, { ...about, level: "warning", value, limit, detail })
          : finding("layer/routed", {
              ...about,
              tensor: "logits",
              step: "prefill",
              value: value / limit,
              limit: 1,
              detail: { rule },
            }),
    );
  }

  /** Why the stored forms of the logits cannot give a figure; null where that is not why it is missing. */
  private lack(figure: string): string | null {
    return this.notAvailable.find((one) => one.figure === figure)?.reason ?? null;
  }

  private applied(rule: RuleId, limit: number, limitFrom: LimitSource = "method"): void {
    const about = { step: null, decide: null, reason: null };
    this.rules.push({ rule, applied: true, limit, limitFrom, ...about });
  }

  private notApplied(rule: RuleId, reason: string): void {
    const about = { step: null, decide: null, reason };
    this.rules.push({ rule, applied: false, limit: null, limitFrom: null, ...about });
  }
}
