/** The figures of a comparison that a baseline holds: of each tensor, and of what the model says. */

import type { Quality } from "../core/quality.ts";
import type { TensorResult } from "../core/tensor-result.ts";

/** One figure. */
export interface FigureFacts {
  /** Whether a larger value is worse. */
  readonly worse: "higher" | "lower";
  /** Its path in the result, for messages. */
  readonly metric: string;
  /** What an allowance is a share of: the figure itself, or what it lacks of 1. */
  readonly shareOf: "value" | "lack";
}

/** Figures of a tensor, in the order in which a baseline writes them. */
export const TENSOR_FIGURES = {
  gm: { worse: "higher", metric: "tokenRelL2.gm", shareOf: "value" },
  floorRatio: { worse: "higher", metric: "floorRatio", shareOf: "value" },
  cosineDistance: { worse: "higher", metric: "cosineDistance", shareOf: "value" },
} as const satisfies Record<string, FigureFacts>;

/** Figures of what the model says, of the prompts. */
export const QUALITY_FIGURES = {
  perplexityIncrease: {
    worse: "higher",
    metric: "quality.perplexity.relativeIncrease",
    shareOf: "value",
  },
  kl: { worse: "higher", metric: "quality.kl.mean", shareOf: "value" },
  top1: { worse: "lower", metric: "quality.top1Agreement.share", shareOf: "lack" },
  firstToken: { worse: "lower", metric: "quality.firstToken.share", shareOf: "lack" },
} as const satisfies Record<string, FigureFacts>;

export type TensorFigureName = keyof typeof TENSOR_FIGURES;
export type QualityFigureName = keyof typeof QUALITY_FIGURES;
/** A figure that a baseline holds: of one tensor, or of what the model says. */
export type FigureName = TensorFigureName | QualityFigureName;

/** The figures of one tensor; null where they are not known. */
export function figuresOfTensor(
  tensor: TensorResult,
): Readonly<Record<TensorFigureName, number | null>> {
  return {
    gm: tensor.tokenRelL2?.gm ?? null,
    floorRatio: tensor.floorRatio,
    cosineDistance: tensor.cosineDistance,
  };
}

/** The figures of what the model says; null where they are not known. */
export function figuresOfQuality(
  quality: Quality,
): Readonly<Record<QualityFigureName, number | null>> {
  return {
    perplexityIncrease: quality.perplexity?.relativeIncrease ?? null,
    kl: quality.kl?.mean ?? null,
    top1: quality.top1Agreement?.share ?? null,
    firstToken: quality.firstToken?.share ?? null,
  };
}
