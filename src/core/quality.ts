/** What the model says, as far as a comparison measures it. Field names are frozen, additions only. */

import type { DeterminismResult } from "./determinism.ts";
import type { GenerationResult } from "./generation.ts";
import type { TokenAt } from "./places.ts";

/** A mean over tokens with its standard error clustered by sample. */
export interface ClusteredMean {
  readonly mean: number;
  /** Null below two samples. */
  readonly se: number | null;
  /** 95 % interval by Student's t with G−1 degrees of freedom; null below six samples. */
  readonly ci95: readonly [number, number] | null;
  /** G, the samples that have a value. */
  readonly clusters: number;
}

/** Perplexity of both sides on the same tokens. */
export interface PerplexityResult {
  readonly reference: number;
  readonly candidate: number;
  /** candidate / reference − 1. */
  readonly relativeIncrease: number;
  /** Of `relativeIncrease`; null below six samples. */
  readonly ci95: readonly [number, number] | null;
  /** Predictions scored (T−1 a sample). */
  readonly tokens: number;
  readonly samples: number;
  /** Mean paired difference of the negative log-likelihood, nats a token. */
  readonly deltaNll: ClusteredMean;
}

/** The mean is in nats, over all positions. */
export interface KlResult extends ClusteredMean {
  /** Geometric mean of KL_t floored at 1e-12. */
  readonly gm: number;
  readonly median: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly maxAt: TokenAt | null;
  readonly positions: number;
  /** gm over the largest floor's gm; null without a floor. */
  readonly floorRatio: number | null;
}

/** A number that the mean KL divergence cannot be below, as far as the best tokens of each position tell. */
export interface KlBoundResult extends ClusteredMean {
  /** Largest bound of a position. */
  readonly max: number;
  readonly maxAt: TokenAt | null;
  readonly positions: number;
}

/** |lse(candidate) − lse(reference)| over positions, in nats. */
export interface LseResult {
  readonly meanAbs: number;
  readonly maxAbs: number;
  readonly maxAt: TokenAt | null;
  readonly positions: number;
}

/** A figure that the stored forms of the logits, or the stored continuations, cannot give. */
export interface NotAvailable {
  /** Path of the figure inside `quality`. */
  readonly figure: string;
  /** By a stable word: `reduced-logits`, `no-token-logprob`, `no-topk`, `short-topk`, `tied-topk`, `no-lse`, `no-ids`, `no-predictions`, `some-samples`, `sampled`, `no-generated-ids`, `some-continuations`, `no-continuations`, `some-repeats`. */
  readonly reason: string;
}

/** How often both sides find the same token likeliest. */
export interface Top1Result {
  readonly share: number;
  readonly agreed: number;
  readonly positions: number;
  readonly strict: number;
  /** Wilson's interval. */
  readonly ci95: readonly [number, number];
  /** Positions without agreement whose margin is near a tie (z < 4); null where only the best tokens are stored. */
  readonly nearTies: number | null;
}

/** Positions whose likeliest token is another. */
export interface FlipsResult {
  readonly count: number;
  /** Σ Φ(−z) over all positions. */
  readonly expected: number;
  /** Flips with z ≥ 4. */
  readonly real: number;
  /** Whose logit error gave σ_t. */
  readonly sigmaFrom: "floor" | "candidate";
}

/** How the true token's probability changes. */
export interface DeltaPResult {
  readonly rms: number;
  readonly p1: number;
  readonly p5: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly min: number;
  readonly max: number;
}

/** Whether the token after each prompt agrees. */
export interface FirstTokenResult {
  readonly agreed: number;
  readonly samples: number;
  readonly share: number;
  readonly ci95: readonly [number, number];
  readonly from: "generated" | "logits";
}

/** What the logits of the decode steps say; only limits of the user are held to it. The true token of a step is the one that the next step was fed with. */
export type DecodeQuality = Pick<
  Quality,
  "perplexity" | "kl" | "top1Agreement" | "topKOverlap" | "flips" | "deltaP"
>;

/** What the model says; of the prompts, but for `decode`, and null throughout in an isolated replay. */
export interface Quality {
  readonly perplexity: PerplexityResult | null;
  /** The same with the mean loss of each sample weighted by T instead of T−1, as published tables have it. */
  readonly perplexitySeed: {
    readonly reference: number;
    readonly candidate: number;
    readonly relativeIncrease: number;
  } | null;
  readonly kl: KlResult | null;
  readonly top1Agreement: Top1Result | null;
  readonly topKOverlap: { readonly k5: number | null; readonly k10: number | null } | null;
  readonly flips: FlipsResult | null;
  readonly deltaP: DeltaPResult | null;
  readonly firstToken: FirstTokenResult | null;
  readonly generation: GenerationResult | null;
  /** Null where neither side repeats its run, or no repetition can be compared. */
  readonly determinism: DeterminismResult | null;
  /** Only where the logits are stored in a reduced form on a side; `kl` is null then. */
  readonly klLowerBound: KlBoundResult | null;
  /** Only where the logits are stored in a reduced form on a side. */
  readonly lse: LseResult | null;
  /** Figures that reduced forms of the logits, or the continuations, cannot give; empty where both sides store whole logits, or none, and continue the same prompts. */
  readonly notAvailable: readonly NotAvailable[];
  /** Null without logits of decode steps. */
  readonly decode: DecodeQuality | null;
}
