/**
 * The logit lens: what the model would predict if it ended after each layer.
 * Field names are frozen, additions only.
 */

import type { KlResult, Top1Result } from "./quality.ts";

/** How the final norm reads the residual stream; those with `-offset` multiply by 1 + weight. */
export type FinalNormKind = "rms" | "rms-offset" | "layer" | "layer-offset";

/** The final norm as it was applied to every layer. */
export interface LensNorm {
  readonly kind: FinalNormKind;
  /** Name of its weight in the file. */
  readonly weight: string;
  readonly epsilon: number;
  /** ‖computed − stored‖ / ‖stored‖ of the reference's `norm`, computed from its last layer. */
  readonly error: number;
}

/** What the residual stream after one layer predicts on both sides. */
export interface LensLayer {
  /** `embed`, or `layers.{i}`. */
  readonly tensor: string;
  /** Null for `embed`. */
  readonly layer: number | null;
  /** KL(reference ‖ candidate) at the positions of the lens; `floorRatio` is of these positions, too. */
  readonly kl: KlResult;
  readonly top1Agreement: Top1Result;
}

/** A layer of the lens. */
export type LensPlace = Pick<LensLayer, "tensor" | "layer">;

/** Shown, and never judged. */
export interface LensResult {
  /** In execution order; empty where the lens is not available. */
  readonly layers: readonly LensLayer[];
  /** Positions looked at, evenly spaced over the prompts, and in all. */
  readonly positions: number;
  readonly positionsInAll: number;
  /** Name of the weight that was multiplied with. */
  readonly head: string;
  /** Null where no formula of the final norm gives the stored `norm`. */
  readonly norm: LensNorm | null;
  /**
   * The first layer from which on, to the last one, the geometric mean of KL is beyond 1.5 times the largest
   * floor's; null where there is none, or no floor.
   */
  readonly parting: LensPlace | null;
  /** Why there is none, by a stable word: `switched-off`, `isolated`, `no-layers`, `no-norm`, `no-last-layer`, `no-epsilon`, `no-norm-weight`, `unknown-norm`, `stopped`. */
  readonly notAvailable: string | null;
}
