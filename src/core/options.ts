/** What a comparison is asked to do, and whom it tells how far it is. */

export type Preset = "auto" | "exact" | "f64" | "f32" | "f16" | "bf16" | "fp8";

/** `interval`: a user's limit holds when the 95 % bound is inside it; `point`: when the point value is. */
export type Decide = "interval" | "point";

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

export interface CompareOptions {
  /** Path of the reference dump, or of a reference set: the folder that `npu-dump reference` made. */
  readonly reference: string;
  /** Path of the candidate dump. */
  readonly candidate: string;
  /** Dumps of the reference engine in the candidate's precision. */
  readonly floors: readonly string[];
  /** Forced references: the reference engine fed with the residual stream of the candidate, or of a floor. */
  readonly forced: readonly string[];
  readonly preset: Preset;
  readonly decide: Decide;
  readonly limits: Readonly<Partial<Record<LimitName, number>>>;
  /** Globs: only tensors that match one of them are judged; empty means all. */
  readonly only: readonly string[];
  /** Globs: tensors that match one of them are not judged. */
  readonly skip: readonly string[];
  /** Stop measuring at the first tensor that fails. */
  readonly failFast: boolean;
  /** Threads that measure, at most; the result does not depend on it. */
  readonly jobs: number;
}

/** What holds where nothing is said. */
export const DEFAULT_OPTIONS: Omit<CompareOptions, "reference" | "candidate"> = {
  floors: [],
  forced: [],
  preset: "auto",
  decide: "interval",
  limits: {},
  only: [],
  skip: [],
  failFast: false,
  jobs: 1,
};

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
  /** A tensor failed a rule: told at once, because that is what the reader waits for. */
  failure?(tensor: string, rule: string): void;
}
