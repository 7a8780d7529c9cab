/**
 * The result of a comparison: the one type that every renderer reads. Field
 * names are frozen, additions only. Numbers may be NaN or infinite here; the
 * JSON renderer writes those as strings.
 */

import type { DType } from "./dtype.ts";
import type { Quality } from "./quality.ts";

export type {
  DeterminismResult,
  RepeatComparison,
  RepeatDifference,
  RepeatTensorDifference,
  SideDeterminism,
} from "./determinism.ts";
export type {
  ChoiceGap,
  Continuation,
  DivergenceMargin,
  DivergenceSide,
  Excerpt,
  GeneratedToken,
  GenerationResult,
  KeywordResult,
  KeywordTotals,
  SampleTexts,
  TextDivergence,
} from "./generation.ts";
export type {
  ClusteredMean,
  DecodeQuality,
  DeltaPResult,
  FirstTokenResult,
  FlipsResult,
  KlBoundResult,
  KlResult,
  LseResult,
  NotAvailable,
  PerplexityResult,
  Quality,
  Top1Result,
} from "./quality.ts";

export type Verdict = "pass" | "fail" | "inconclusive";

/** Prefill (teacher-forced prompt, step 0) and decode (step ≥ 1) run other kernels and are judged apart. */
export type StepGroup = "prefill" | "decode";

/**
 * `origin`: the first module in execution order beyond its limit; `inherited`:
 * what follows it; `independent`: what is at fault by itself behind it, as a
 * forced reference or an isolated replay shows.
 */
export type Role = "origin" | "inherited" | "independent";

/** Where a limit came from. */
export type LimitSource = "method" | "floor" | "prior" | "flag" | "preset" | "structure";

export type RuleLevel = "error" | "warning" | "info";

/** A rule that was broken, or something that the reader should know. */
export interface Finding {
  /** Rule id, see `judge/rules`. */
  readonly rule: string;
  readonly level: RuleLevel;
  /** Name of the tensor, null where the finding is about the whole run. */
  readonly tensor: string | null;
  readonly step: StepGroup | null;
  readonly sample: number | null;
  readonly role: Role | null;
  readonly value: number | null;
  readonly limit: number | null;
  readonly limitFrom: LimitSource | null;
  /** Further facts, by the names that the rule's texts use. */
  readonly detail: Readonly<Record<string, string | number>>;
}

/** A rule as it was applied in this comparison, or why it was not. */
export interface AppliedRule {
  readonly rule: string;
  /** `decode` where it was held to what the decode steps say; null where the rule speaks for itself. */
  readonly step: StepGroup | null;
  readonly applied: boolean;
  /** Null where the limit differs from tensor to tensor, or the rule was not applied. */
  readonly limit: number | null;
  readonly limitFrom: LimitSource | null;
  /** What was held to the limit, where it has an uncertainty: its 95 % interval, or the value alone. */
  readonly decide: "interval" | "point" | null;
  /** Why a rule was not applied, by a stable word: `no-floor`, `few-samples`, `no-logits`, `stopped`, or one of {@link NotAvailable}. */
  readonly reason: string | null;
}

/** Position of one element: the sample, and the index inside its tensor. */
export interface ElementAt {
  readonly sample: number;
  readonly step: number;
  readonly index: readonly number[];
  readonly reference: number;
  readonly candidate: number;
}

/** Position of one row (token). */
export interface TokenAt {
  readonly sample: number;
  readonly step: number;
  readonly token: number;
}

/** ρ_t = ‖d_t‖ / ‖x_t‖ over rows; dimensionless. */
export interface TokenRelL2 {
  /** Geometric mean; ρ_t raised to 0.425 u first. 0 only when every row is. */
  readonly gm: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly maxAt: TokenAt | null;
  /** The largest `gm` of a single sample. */
  readonly worstSampleGm: number;
}

/** Cosine of each row, over rows where it is defined. */
export interface TokenCosine {
  readonly mean: number;
  readonly min: number;
  readonly minAt: TokenAt | null;
  readonly p1: number;
  readonly p5: number;
  readonly p50: number;
}

/** Counts of values that are no finite numbers. */
export interface NonFinite {
  readonly reference: { readonly nan: number; readonly posInf: number; readonly negInf: number };
  readonly candidate: { readonly nan: number; readonly posInf: number; readonly negInf: number };
  /** Positions where the two sides differ in kind. */
  readonly mismatched: number;
  readonly firstAt: ElementAt | null;
  /** Positions where the candidate sits at its dtype's largest value and the reference does not. */
  readonly saturated: number;
}

/** The error of one tensor relative to a floor's, the largest floor ratio counting. */
export interface FloorFigures {
  /** exp(mean_t ln(ρ_t / ρ_t(floor))). */
  readonly floorRatio: number;
  /** p99(ρ) / p99(ρ floor). */
  readonly floorRatioP99: number;
  /** max_t ρ_t / max(ρ_t(floor), median ρ(floor)). */
  readonly floorTokenRatio: number;
  readonly floorTokenRatioAt: TokenAt | null;
  /** The largest `floorRatio` of a single sample over the allowance for that many rows, and that sample. */
  readonly worstSampleFloorRatio: number;
  readonly worstSample: number | null;
  /** `gm` of the floor itself. */
  readonly floorGm: number;
}

/**
 * A tensor beside its forced reference, x: what the reference engine answered
 * when it was fed with the candidate's own residual stream. The module's own
 * error, without what it inherited. Figures are null where the two differ in
 * kind anywhere, as in a NaN on one side only.
 */
export interface OwnFigures {
  /** Geometric mean of ρ_t = ‖y_t − x_t‖ / ‖x_t‖, as in {@link TokenRelL2}. */
  readonly gm: number | null;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
  readonly maxAt: TokenAt | null;
  /** `gm` in units of the number format's u. */
  readonly u: number | null;
  /** ⟨x,y⟩ / ⟨x,x⟩; null where x is zero. */
  readonly slope: number | null;
  /**
   * `gm` over the floor's own, both raised to 0.425 u, the larger floor
   * counting; null without a floor whose forced reference covers every row.
   */
  readonly gmOverFloor: number | null;
  /** The larger floor's own `gm`, in the candidate's precision. */
  readonly floorGm: number | null;
  /** Positions where the two differ in kind. */
  readonly mismatched: number;
  /** What the own error is held to; null where no floor's own error is known. */
  readonly statistics: OwnStatistics | null;
}

/** One statistic of an own error. */
export interface OwnStatistic {
  /** Of the candidate. */
  readonly value: number;
  /** The largest among the floors; null where that says nothing. */
  readonly floor: number | null;
  /** What the value was held to; null where no rule looked at it. */
  readonly limit: number | null;
}

/** Names of the statistics of {@link OwnStatistics}, in the order of a report. */
export const OWN_STATISTICS = [
  "energy",
  "sample",
  "token",
  "element",
  "slope",
  "channel",
  "offset",
  "gain",
] as const;

export type OwnStatisticName = (typeof OWN_STATISTICS)[number];

/**
 * The own error of a module beside the own errors of the floors, seen in eight
 * ways; null where one cannot be taken. «Base» is the floors
 * together: the largest of their sizes, the mean of their channels.
 *
 * - `energy`: geometric mean of ρ_t over the base's.
 * - `sample`: the largest such ratio of a single sample, its allowance taken off.
 * - `token`: max_t ρ_t over the base's 99th percentile.
 * - `element`: max_tj |d_tj| / ‖x_t‖ over the base's median ρ_t.
 * - `slope`: |a| over the base's geometric mean, a = ⟨x,d⟩ / ⟨x,x⟩ of weighed rows.
 * - `channel`: the largest ratio of a channel's share of the error to the base's.
 * - `offset`: the largest constant part of a channel's error over its error in the base.
 * - `gain`: the same of the part that is proportional to the channel's values.
 */
export type OwnStatistics = Readonly<Record<OwnStatisticName, OwnStatistic | null>>;

/** Statistics of one side of a tensor; `min max mean rms` over its finite values, NaN where there is none. */
export interface SideStatistics {
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly rms: number;
  readonly nan: number;
  readonly posInf: number;
  readonly negInf: number;
}

/** What holds of the difference of two tensors whatever their elements are: no less than, for a cosine no more than. */
export interface StatsBounds {
  readonly relL2: number;
  /** Of the largest ρ_t of a row. */
  readonly tokenRelL2Max: number;
  readonly maxAbs: number;
  readonly mse: number;
  /** The cosine is at most this. */
  readonly cosine: number;
}

/** What is known of a tensor of which one side or both are stored as statistics. */
export interface StatsFigures {
  readonly reference: SideStatistics;
  readonly candidate: SideStatistics;
  /** Candidate minus reference; of nothing else than the statistics. */
  readonly difference: {
    readonly min: number;
    readonly max: number;
    readonly mean: number;
    readonly rms: number;
  };
  /** ‖y‖/‖x‖, each side over its own finite values. */
  readonly normRatio: number;
  /** Positions that differ in kind (finite, NaN, +Inf, −Inf): at least so many. */
  readonly mismatched: number;
  /** Positions where the candidate sits at its dtype's largest value and the reference does not: at least so many. */
  readonly saturated: number;
  /** Null where the two sides have other numbers of finite values, or none: nothing follows then. */
  readonly bounds: StatsBounds | null;
}

/** One tensor: all samples of one name in one step group. Figures are null where nothing could be measured. */
export interface TensorResult {
  readonly name: string;
  readonly layer: number | null;
  readonly step: StepGroup;
  readonly verdict: Verdict;
  readonly role: Role | null;
  readonly dtype: { readonly reference: DType; readonly candidate: DType };
  /** Samples (and steps), rows and elements that both sides hold. */
  readonly samples: number;
  readonly rows: number;
  readonly elements: number;
  readonly relL2: number | null;
  readonly snrDb: number | null;
  readonly tokenRelL2: TokenRelL2 | null;
  readonly cosine: number | null;
  readonly cosineDistance: number | null;
  readonly tokenCosine: TokenCosine | null;
  readonly mse: number | null;
  readonly rmse: number | null;
  readonly meanAbs: number | null;
  readonly bias: number | null;
  readonly maxAbs: number | null;
  readonly maxAbsAt: ElementAt | null;
  readonly normRatio: number | null;
  readonly slope: number | null;
  readonly floorRatio: number | null;
  readonly floorRatioP99: number | null;
  readonly floor: FloorFigures | null;
  /** The limit of `tokenRelL2.gm` where no floor decided. */
  readonly priorLimit: number | null;
  /** The module's own error; null without a forced reference of this tensor. */
  readonly own: OwnFigures | null;
  readonly nonFinite: NonFinite | null;
  /** Elements whose bytes differ; counted only where bit equality was asked for. */
  readonly bitsDiffering: number | null;
  /** What statistics say where either side is not stored densely; null where both are. */
  readonly statsFigures: StatsFigures | null;
}

/** One input of the comparison, as far as a report shows it. */
export interface InputSummary {
  /** File name without its folder. */
  readonly file: string;
  readonly bytes: number;
  /** SHA-256 over T and ids of each sample in turn, int64 little-endian; null without `input_ids`. */
  readonly tokensSha256: string | null;
  /** The run metadata as the file has it. */
  readonly run: Readonly<Record<string, unknown>>;
  /** Whether the file was put together again by `repair`. */
  readonly repaired: boolean;
}

export interface EnvironmentDifference {
  /** Dotted path in the run metadata, e.g. `model.rope_theta`. */
  readonly key: string;
  readonly reference: unknown;
  readonly candidate: unknown;
}

export interface CauseResult {
  readonly id: string;
  /** How sure the rule is, 0 … 1: a judgement, no probability. */
  readonly confidence: number;
  /** What was seen, in English. */
  readonly evidence: string;
  /** The numbers behind it, by the names that the cause's texts use. */
  readonly detail: Finding["detail"];
}

export interface Origin {
  readonly tensor: string;
  readonly layer: number | null;
  readonly step: StepGroup;
  readonly causes: readonly CauseResult[];
}

/** The verdict on one step group; the whole comparison passes only where every group does. */
export interface GroupResult {
  readonly step: StepGroup;
  readonly verdict: Verdict;
  /** The first module of the group beyond its limit. */
  readonly origin: Origin | null;
  /**
   * Whether that module reads keys and values which the prefill computed after
   * its own origin: the error may have come through the cache, and nothing but
   * a decode without the prefill's fault can tell.
   */
  readonly throughCache: boolean;
  /** Further modules that are at fault by themselves, whatever they inherited: known where each was measured on its own. */
  readonly independent: readonly Origin[];
  /** A kind of module that is at fault in more than half of its places: a matter of configuration rather than of one module. */
  readonly systematic: Systematic | null;
}

/** A kind of module that is at fault nearly everywhere. */
export interface Systematic {
  /** `attn`, `mlp`, `layer` or `router`. */
  readonly role: string;
  /** Places at fault, and how many there are. */
  readonly faulty: number;
  readonly places: number;
}

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
  readonly performance: null;
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
}
