/** What a report draws of single tokens. Field names are frozen, additions only. */

import type { TensorDepth } from "./depth.ts";
import type { TokenAt } from "./places.ts";

/** Neighbouring tokens of one sample. */
export interface TokenBin {
  /** First token, and the one behind the last. */
  readonly from: number;
  readonly to: number;
  /** Both ends as the reference writes them; null where it does not store that. */
  readonly text: string | null;
}

/** The errors of one tensor along the tokens of a sample. */
export interface TokenErrorRow {
  readonly tensor: string;
  /** The largest ρ_t = ‖d_t‖ / ‖x_t‖ of each bin; null where the tensor has no such row. */
  readonly relL2: readonly (number | null)[];
}

/** The errors of one sample's prompt, token by token. */
export interface TokenErrors {
  readonly sample: number;
  readonly tokens: number;
  /** At most 128. */
  readonly bins: readonly TokenBin[];
  /** In execution order; tensors that have a row for each token. */
  readonly rows: readonly TokenErrorRow[];
}

/** One of the likeliest next tokens of a side. */
export interface LikelyToken {
  readonly id: number;
  /** Known where the prompt holds the same token. */
  readonly text: string | null;
  readonly probability: number;
}

/** A position of a prompt at which the sides differ in what comes next. */
export interface LogitPosition extends TokenAt {
  /** At most 8 tokens that end here; null where the reference does not store texts. */
  readonly context: readonly string[] | null;
  /** KL(reference ‖ candidate) in nats. */
  readonly kl: number;
  /** Whether the best token of a side is among the tied best of the other. */
  readonly agrees: boolean;
  /** The reference's largest logit less its second largest. */
  readonly margin: number;
  /** Whether the margin is within four standard deviations of the logits' error. */
  readonly nearTie: boolean;
  /** The best five, best first. */
  readonly reference: readonly LikelyToken[];
  readonly candidate: readonly LikelyToken[];
}

/** What is measured only for a report that draws it. */
export interface ResultDetails {
  /** Null where no sample has such a tensor. */
  readonly tokenErrors: TokenErrors | null;
  /** The origin, those furthest from their reference and the logits: at most 7. */
  readonly tensors: readonly TensorDepth[];
  /** At most 12 positions of prompts: flips by their margin, else the largest KL. */
  readonly positions: readonly LogitPosition[];
}
