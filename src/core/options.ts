/** What a comparison is asked to do, and whom it tells how far it is. */

import type { MapRule } from "./name-map.ts";

export const PRESETS = ["auto", "exact", "f64", "f32", "f16", "bf16", "fp8"] as const;

/** The number format whose precision scales the limits; `exact` asks for equal bits, `auto` takes the coarser of the two sides. */
export type Preset = (typeof PRESETS)[number];

export const DECISIONS = ["interval", "point"] as const;

/** `interval`: a user's limit holds when the 95 % bound is inside it; `point`: when the point value is. */
export type Decide = (typeof DECISIONS)[number];

export const BASELINE_UPDATES = ["all", "new"] as const;

/** `all` accepts every figure into the baseline, `new` only what it does not hold. */
export type BaselineUpdate = (typeof BASELINE_UPDATES)[number];

/** The limits that a user may set; each is added to the built-in rules, none replaces them. */
export type LimitName =
  | "maxRelL2"
  | "minCosine"
  | "maxAbs"
  | "maxMse"
  | "maxFloorRatio"
  | "maxPplIncrease"
  | "maxKl"
  | "minTop1"
  | "minFirstToken"
  | "minDeterminism";

/** The values of each limit that make sense. */
export const LIMIT_RANGES: Readonly<
  Record<LimitName, { readonly min: number; readonly max: number }>
> = {
  maxRelL2: { min: 0, max: Number.POSITIVE_INFINITY },
  minCosine: { min: -1, max: 1 },
  maxAbs: { min: 0, max: Number.POSITIVE_INFINITY },
  maxMse: { min: 0, max: Number.POSITIVE_INFINITY },
  maxFloorRatio: { min: 0, max: Number.POSITIVE_INFINITY },
  maxPplIncrease: { min: 0, max: Number.POSITIVE_INFINITY },
  maxKl: { min: 0, max: Number.POSITIVE_INFINITY },
  minTop1: { min: 0, max: 1 },
  minFirstToken: { min: 0, max: 1 },
  minDeterminism: { min: 0, max: 1 },
};

/** The limits that hold for tensors one by one. */
export const TENSOR_LIMITS = [
  "maxRelL2",
  "minCosine",
  "maxAbs",
  "maxMse",
  "maxFloorRatio",
] as const satisfies readonly LimitName[];

/** The limits that may be another for some tensors. */
export type TensorLimitName = (typeof TENSOR_LIMITS)[number];

/** Limits of the user, by name; `LIMIT_RANGES` says which values make sense. */
export type Limits = Readonly<Partial<Record<LimitName, number>>>;

/** What a rule counts for: nothing, a warning whatever it finds, or an error whatever it finds. */
export type RuleSetting = "off" | "warning" | "error";

/** The level of a rule, as somebody set it. */
export interface LevelSetting {
  readonly rule: string;
  readonly level: RuleSetting;
  /** Globs of the tensors that it is set for; null for all, and for what is about no tensor. */
  readonly tensors: readonly string[] | null;
  /** Where it was set, such as `npu-diff.jsonc:12`. */
  readonly at: string;
}

/** Other limits for some tensors. */
export interface LimitOverride {
  /** Globs. */
  readonly tensors: readonly string[];
  readonly limits: Readonly<Partial<Record<TensorLimitName, number>>>;
}

/** What is compared, and how. */
export interface CompareOptions {
  /** Path of the reference dump, or of a reference set: the folder that `npu-dump reference` made. */
  readonly reference: string;
  /** Path of the candidate dump. */
  readonly candidate: string;
  /** Dumps of the reference engine in the candidate's precision. */
  readonly floors: readonly string[];
  /** Forced references: the reference engine fed with the residual stream of the candidate, or of a floor. */
  readonly forced: readonly string[];
  /** A file with the performance of a side; null for that of the compared dump itself, where it holds any. */
  readonly referencePerformance: string | null;
  readonly candidatePerformance: string | null;
  /**
   * Safetensors weights of the model, or the index of its shards: logits come from `norm` through its head where a
   * side holds none, and every layer is looked at through it; null for neither.
   */
  readonly lmHead: string | null;
  /** Positions that the logit lens looks at in each layer, at most; null for all, 0 for no lens. */
  readonly lensTokens: number | null;
  readonly preset: Preset;
  readonly decide: Decide;
  readonly limits: Limits;
  /** Which of `limits` a config set; the others were given in the call. */
  readonly limitsOfConfig: readonly LimitName[];
  /** Of several for one tensor the last counts. */
  readonly overrides: readonly LimitOverride[];
  /** Levels of rules where they are not the rules' own; of several the last counts. */
  readonly levels: readonly LevelSetting[];
  /** Names under which tensors are compared, where a file calls them something else. */
  readonly map: readonly MapRule[];
  /** Globs: only tensors that match one of them are judged; empty means all. */
  readonly only: readonly string[];
  /** Globs: tensors that match one of them are not judged. */
  readonly skip: readonly string[];
  /** Stop measuring at the first tensor that fails. */
  readonly failFast: boolean;
  /** Measure what a report draws of single tokens, too: one sample of every tensor is read again. */
  readonly details: boolean;
  /** Threads that measure, at most; the result does not depend on it. */
  readonly jobs: number;
}

/** What holds where nothing is said. */
export const DEFAULT_OPTIONS: Omit<CompareOptions, "reference" | "candidate"> = {
  floors: [],
  forced: [],
  referencePerformance: null,
  candidatePerformance: null,
  lmHead: null,
  lensTokens: 128,
  preset: "auto",
  decide: "interval",
  limits: {},
  limitsOfConfig: [],
  overrides: [],
  levels: [],
  map: [],
  only: [],
  skip: [],
  failFast: false,
  details: false,
  jobs: 1,
};

/** How far a comparison is. */
export interface Progress {
  /** Tensors done, and in all. */
  readonly done: number;
  readonly total: number;
  /** Bytes read so far on all sides, and in all. */
  readonly bytes: number;
  readonly totalBytes: number;
  /** The tensor under way. */
  readonly tensor: string;
}

/** Called while a comparison runs; never required. */
export interface CompareObserver {
  progress?(progress: Progress): void;
  /** Rows of logits computed through the lm_head so far, and in all: of the model, or of the lens. */
  logits?(done: number, total: number): void;
  /** A tensor failed a rule: told at once, because that is what the reader waits for. */
  failure?(tensor: string, rule: string): void;
}
