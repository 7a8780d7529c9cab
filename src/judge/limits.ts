/**
 * The built-in limits, each with its origin. «Measured» means the output of
 * `bench/calibrate_limits.py` on SmolLM2-135M-Instruct: 36 samples, 1,890
 * tokens of Python's own documentation; sdpa, eager and split-K kernels in
 * bf16, f16 and f32 against f32 and f64. Nothing here was set on the texts of
 * the demo.
 */

import type { Unit } from "../align/align.ts";
import type { FloatDType } from "../core/dtype.ts";
import type { TensorRole } from "../dump/contract.ts";
import { ONE_STORE } from "../measure/row-figures.ts";
import type { JudgeContext } from "./judge-tensor.ts";

/**
 * A tensor's `floorRatio`. Correct engines reach 1.14 on SmolLM2, and 1.68 with
 * partial sums rounded to bf16 among the benign pairs of `bench/faults`
 * (calibration half).
 */
export const MAX_FLOOR_RATIO = 2;

/** `floorRatioP99`. Measured: at most 1.38; a ratio of quantiles over few rows may jump. */
export const MAX_FLOOR_RATIO_P99 = 3.5;

/** `floorTokenRatio`. Measured: at most 12.7 among 1,890 tokens of 93 tensors; doubled. */
export const MAX_FLOOR_TOKEN_RATIO = 25;

/**
 * How far few rows may lie above the limit of many: four times for a single
 * one, falling with the root of their number, not at all from 16 on. Measured
 * by `bench/decode_rows.py`: SmolLM2-135M in bf16, sdpa against eager either way
 * round, 24 prompts of 8 decode steps, 92 tensors. Correct engines reach a floor
 * ratio of 3.90 in 2 rows, 2.31 in 4, 2.06 in 8, 1.37 in 16; in a single row
 * 6.22. They reach 2.72, 1.69, 1.37, 1.03
 * and 0.61 times the prior in 1, 2, 4, 8 and 16 rows.
 */
export function rowsAllowance(rows: number): number {
  return Math.max(1, 4 / Math.sqrt(rows));
}

/**
 * How far a single sample may lie above the limit of the whole tensor: twice,
 * and four times for one of a single row. Measured: samples of 4 to 192 tokens
 * reach a floor ratio of 2.27 in correct engines, whatever their length, where
 * all rows together stay at 1.34; one chaotic token moves all that follow it.
 */
export function sampleAllowance(rows: number): number {
  return Math.max(2, rowsAllowance(rows));
}

/**
 * Share of the prompts that a deterministic run continues alike each time. Set, not
 * measured: what model cards hold their self-consistency to.
 */
export const MIN_DETERMINISM = 0.99;

/** The prior's margin over what correct engines do. */
const PRIOR_MARGIN = 2;

/**
 * A floor may lie so far above the prior before it is taken for broken: other
 * models are noisier than the one that the prior was set on, and that is what a
 * floor is for, but not by that much.
 */
const FLOOR_MARGIN = 4;

/** Growth of a propagated error with depth, gm = c·u·(l+1)^0.37: 2.1 u at layer 0, 4.5 u at 9, 7.6 u at 29. */
export const DEPTH_EXPONENT = 0.37;

/** Kinds of tensors that the prior knows. */
type PriorKind = "layer" | "attn" | "mlp" | "norm" | "logits";

/**
 * c of gm = c·u·(l+1)^0.37, the largest measured. In 16-bit formats an error is
 * made of roundings at stores; in f32 and f64 of the accumulation over K, which
 * is tens of u.
 */
const PRIOR: Readonly<Record<"stores" | "accumulation", Readonly<Record<PriorKind, number>>>> = {
  stores: { attn: 6.0, mlp: 5.6, layer: 2.8, norm: 2.0, logits: 1.9 },
  accumulation: { attn: 23.0, mlp: 22.3, layer: 10.7, norm: 7.0, logits: 8.5 },
};

/** The embedding is a look-up: one rounding, 0.85 u, of every token alike; a single one may err twice as much. */
const PRIOR_EMBED = 1.5;

/**
 * No prior lets an error pass that is half as large as the tensor, whatever the
 * number format: a zeroed tensor stands at 1, a permuted one near 1.4.
 */
const MAX_PRIOR = 0.5;

/** Largest ρ_t of a single token in units of u, doubled. Measured: 235 u in bf16, 344 u in f16, 2,400 u in f32. */
const PRIOR_TOKEN = { stores: 700, accumulation: 5000 } as const;

/** Measured in bf16: 0.46. A token whose error is nearly its size is beyond every format. */
const MAX_PRIOR_TOKEN = 0.9;

/** A module of the model, as the prior sees it. */
export interface PriorSubject {
  readonly role: TensorRole;
  /** Layer of the tensor, or the number of layers behind the last one. */
  readonly depth: number;
  /** Format whose u counts. */
  readonly u: number;
  /** Whether both sides are of that format: two roundings instead of one. */
  readonly bothSides: boolean;
  /** Rows that the error is the mean of. */
  readonly rows: number;
}

/** What the prior knows of one tensor. */
export interface PriorLimits {
  /** Of `tokenRelL2.gm` where no floor decides. */
  readonly gm: number;
  /** Of the largest sample, its own allowance taken off. */
  readonly sample: number;
  /** Of a single token's ρ_t where no floor decides. */
  readonly token: number;
  /** Of a floor's own `gm`: one beyond it is broken itself. */
  readonly floor: number;
}

/** `gm` of the worst of correct engines: c·u·(l+1)^0.37, and of a look-up 0.85 u. */
export function priorError(role: TensorRole, depth: number, u: number): number {
  if (role === "embed") return ONE_STORE * u;
  return priorFactor(role, u) * u * (depth + 1) ** DEPTH_EXPONENT;
}

/** c of {@link priorError}. */
export function priorFactor(role: TensorRole, u: number): number {
  return PRIOR[regimeOf(u)][kindOf(role)];
}

/** The limits of one tensor that do not depend on a floor. */
export function priorLimits(subject: PriorSubject): PriorLimits {
  const { role, depth, u } = subject;
  const bothSides = subject.bothSides ? Math.SQRT2 : 1;
  const isLookUp = role === "embed";
  const gm = isLookUp ? PRIOR_EMBED * u : PRIOR_MARGIN * priorError(role, depth, u);
  const token = isLookUp ? PRIOR_MARGIN * gm : PRIOR_TOKEN[regimeOf(u)] * u;
  return {
    floor: Math.min(MAX_PRIOR, FLOOR_MARGIN * gm * bothSides),
    gm: Math.min(MAX_PRIOR, gm * bothSides * rowsAllowance(subject.rows)),
    sample: Math.min(MAX_PRIOR, gm * bothSides),
    token: Math.min(MAX_PRIOR_TOKEN, token * bothSides),
  };
}

/** The limits of the tensors of `unit`, of which u is `u`, over `rows` rows. */
export function priorLimitsOf(
  { role, layer }: Pick<Unit, "role" | "layer">,
  { u, rows }: Pick<PriorSubject, "u" | "rows">,
  { layers, scale, isolated }: Pick<JudgeContext, "layers" | "scale" | "isolated">,
): PriorLimits {
  // Where nothing is inherited, no error grows with depth.
  const depth = isolated ? 0 : Math.min(layer ?? layers, layers);
  return priorLimits({ role, depth, u, rows, bothSides: scale.bothSides });
}

/** u of f32: formats at least as fine err by accumulation. */
const ACCUMULATION_U = 2 ** -25;

function regimeOf(u: number): "stores" | "accumulation" {
  return u <= ACCUMULATION_U ? "accumulation" : "stores";
}

function kindOf(role: TensorRole): PriorKind {
  switch (role) {
    case "attn":
    case "mlp":
    case "norm":
    case "logits":
    case "layer":
      return role;
    // A router is one product with the residual stream; tensors of other names
    // are judged as the residual stream too.
    case "router":
    case "embed":
    case "other":
      return "layer";
  }
}

/**
 * Clustered z of ΔNLL, an error and a warning, and the ΔNLL in nats a token
 * that both must come with: of six samples of a correct engine, one set in
 * twenty stands above z = 2. Correct engines lie within ±0.9 and 0.0041 nats.
 */
export const MAX_NLL_Z = 3;
export const WARN_NLL_Z = 2;
export const MIN_NLL_INCREASE = 0.005;

/** KL's geometric mean over the floor's: an error, a warning. Correct engines lie within 0.65–1.33. */
export const MAX_KL_RATIO = 4;
export const WARN_KL_RATIO = 1.5;

/** Flips may exceed their expected number E by so many √E. */
export const MAX_FLIP_EXCESS = 3;

/**
 * Fewer flips than this prove nothing, be they as unexpected as they may: one
 * legal flip in a hundred lies beyond a near tie (study), and very short runs
 * expect none at all.
 */
export const MIN_FLIPS = 3;

/** Flips beyond a near tie: at least so many, and more than this share of all flips. */
export const MAX_REAL_FLIP_SHARE = 0.05;

/** Number formats by the name of their preset. */
export const PRESET_DTYPES = {
  f64: "F64",
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
  fp8: "F8_E4M3",
} as const satisfies Record<string, FloatDType>;
