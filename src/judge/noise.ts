/** What a number format is expected to cost, by the formula that the prior's limits are made of. */

import type { TensorRole } from "../dump/contract.ts";
import { DEPTH_EXPONENT, priorError, priorFactor, priorLimits } from "./limits.ts";

/** The expected error of one tensor where one side computes in the format. */
export interface ExpectedNoise {
  readonly tensor: string;
  /** l of the formula. */
  readonly depth: number;
  /** c of the formula; null for the embedding, a look-up that is rounded once. */
  readonly c: number | null;
  /** Geometric mean over tokens of the relative L2 error: the worst of correct engines. */
  readonly gm: number;
  /** What `layer/prior` allows where there is no noise floor. */
  readonly limit: number;
}

/** The noise floor of a model of so many layers. */
export interface NoiseFloor {
  readonly layers: number;
  readonly u: number;
  readonly depthExponent: number;
  readonly tensors: readonly ExpectedNoise[];
}

/** Rows from which on limits do not depend on their number. */
const MANY_ROWS = 16;

/**
 * The noise floor of a format.
 *
 * @param u - unit of the format, half its unit roundoff
 * @param layers - layers of the model, at least 1
 */
export function expectedNoise(u: number, layers: number): NoiseFloor {
  const last = layers - 1;
  const tensors: readonly (readonly [string, TensorRole, number])[] = [
    ["embed", "embed", 0],
    ["layers.0", "layer", 0],
    ...(last === 0 ? [] : [[`layers.${last}`, "layer", last] as const]),
    [`layers.${last}.attn`, "attn", last],
    [`layers.${last}.mlp`, "mlp", last],
    ["norm", "norm", layers],
    ["logits", "logits", layers],
  ];
  return {
    layers,
    u,
    depthExponent: DEPTH_EXPONENT,
    tensors: tensors.map(([tensor, role, depth]) => ({
      tensor,
      depth,
      c: role === "embed" ? null : priorFactor(role, u),
      gm: priorError(role, depth, u),
      limit: priorLimits({ role, depth, u, rows: MANY_ROWS, bothSides: false }).gm,
    })),
  };
}
