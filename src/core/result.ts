/**
 * The result of a comparison: the one type that every renderer reads. Field
 * names are frozen, additions only. Numbers may be NaN or infinite here; the
 * JSON renderer writes those as strings.
 */

import type { ResultDetails } from "./details.ts";
import type { AppliedRule, Finding } from "./findings.ts";
import type { GroupResult, Origin } from "./groups.ts";
import type { EnvironmentDifference, InputSummary } from "./inputs.ts";
import type { LensResult } from "./lens.ts";
import type { PerformanceResult } from "./performance.ts";
import type { Quality } from "./quality.ts";
import type { TensorResult } from "./tensor-result.ts";
import type { Verdict } from "./verdict.ts";

/** The result of a comparison. */
export interface ComparisonResult {
  readonly schemaVersion: 1;
  readonly verdict: Verdict;
  /** The origin of the first group that has one. */
  readonly origin: Origin | null;
  readonly findings: readonly Finding[];
  readonly quality: Quality;
  /** In execution order, prefill before decode. */
  readonly tensors: readonly TensorResult[];
  /** Names (with sample and step) that one side did not mean to store. */
  readonly notCaptured: {
    readonly reference: readonly string[];
    readonly candidate: readonly string[];
  };
  /** Names (with sample and step) that one side meant to store and does not hold. */
  readonly missing: {
    readonly reference: readonly string[];
    readonly candidate: readonly string[];
  };
  readonly inputs: {
    readonly reference: InputSummary;
    readonly candidate: InputSummary;
    readonly floors: readonly InputSummary[];
    /** Forced references: of the candidate first, then of the floors in their order. */
    readonly forced: readonly InputSummary[];
  };
  /** Samples and tokens compared, from `input_ids` (or the rows of `input.0`). */
  readonly tokens: { readonly samples: number; readonly tokens: number };
  readonly environment: { readonly differences: readonly EnvironmentDifference[] };
  /** What each layer predicts; shown and never judged. Null without `lmHead` of the options. */
  readonly lens: LensResult | null;
  /** Shown and never judged; null where neither side was measured. */
  readonly performance: PerformanceResult | null;
  /** What decided the layers: the modules' own errors under a forced reference, the errors over the floor's, the prior, or bit equality. */
  readonly evidence: "forced" | "floor" | "prior" | "exact";
  /** Format whose u scaled the limits. */
  readonly preset: "exact" | "f64" | "f32" | "f16" | "bf16" | "fp8";
  /** Prefill before decode; what was not reached is not listed. */
  readonly groups: readonly GroupResult[];
  /** Whether candidate and reference read one residual stream, so that every tensor stands for itself. */
  readonly isolated: boolean;
  readonly rules: readonly AppliedRule[];
  /** Whether measuring stopped at the first failure, so that later tensors are not listed. */
  readonly stopped: boolean;
  /** Null unless `details` of the options asked for it. */
  readonly details: ResultDetails | null;
}
