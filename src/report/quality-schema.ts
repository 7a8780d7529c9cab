/** The JSON form of what the model says. */

import type {
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
} from "../core/quality.ts";
import {
  count,
  fields,
  list,
  nullable,
  number,
  oneOf,
  pair,
  type SchemaOf,
  text,
} from "../core/schema.ts";
import { determinism, generation } from "./generation-schema.ts";
import { CLUSTERED, clusteredMean, interval, tokenAt } from "./schema-parts.ts";

const perplexity = nullable(
  fields<PerplexityResult>({
    reference: number,
    candidate: number,
    relativeIncrease: number,
    ci95: interval,
    tokens: count,
    samples: count,
    deltaNll: clusteredMean,
  }),
);
export const kl: SchemaOf<KlResult> = fields<KlResult>({
  ...CLUSTERED,
  gm: number,
  median: number,
  p95: number,
  p99: number,
  p999: number,
  max: number,
  maxAt: tokenAt,
  positions: count,
  floorRatio: nullable(number),
});
export const top1Agreement: SchemaOf<Top1Result> = fields<Top1Result>({
  share: number,
  agreed: count,
  positions: count,
  strict: number,
  ci95: pair(number),
  nearTies: nullable(count),
});
const topKOverlap = nullable(
  fields<NonNullable<Quality["topKOverlap"]>>({ k5: nullable(number), k10: nullable(number) }),
);
const flips = nullable(
  fields<FlipsResult>({
    count,
    expected: number,
    real: count,
    sigmaFrom: oneOf<FlipsResult["sigmaFrom"]>("floor", "candidate"),
  }),
);
const deltaP = nullable(
  fields<DeltaPResult>({
    rms: number,
    p1: number,
    p5: number,
    p50: number,
    p95: number,
    p99: number,
    min: number,
    max: number,
  }),
);

export const quality: SchemaOf<Quality> = fields<Quality>({
  perplexity,
  perplexitySeed: nullable(
    fields<NonNullable<Quality["perplexitySeed"]>>({
      reference: number,
      candidate: number,
      relativeIncrease: number,
    }),
  ),
  kl: nullable(kl),
  top1Agreement: nullable(top1Agreement),
  topKOverlap,
  flips,
  deltaP,
  firstToken: nullable(
    fields<FirstTokenResult>({
      agreed: count,
      samples: count,
      share: number,
      ci95: pair(number),
      from: oneOf<FirstTokenResult["from"]>("generated", "logits"),
    }),
  ),
  generation,
  determinism,
  klLowerBound: nullable(
    fields<KlBoundResult>({
      ...CLUSTERED,
      max: number,
      maxAt: tokenAt,
      positions: count,
    }),
  ),
  lse: nullable(
    fields<LseResult>({ meanAbs: number, maxAbs: number, maxAt: tokenAt, positions: count }),
  ),
  notAvailable: list(fields<NotAvailable>({ figure: text, reason: text })),
  decode: nullable(
    fields<DecodeQuality>({
      perplexity,
      kl: nullable(kl),
      top1Agreement: nullable(top1Agreement),
      topKOverlap,
      flips,
      deltaP,
    }),
  ),
});
