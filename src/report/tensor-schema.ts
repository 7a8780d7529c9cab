/** The JSON form of what is known of one tensor. */

import type { OwnFigures, OwnStatistic, OwnStatistics } from "../core/own-figures.ts";
import { count, fields, nullable, number, text } from "../core/schema.ts";
import type { SideStatistics, StatsBounds, StatsFigures } from "../core/stats-figures.ts";
import type {
  FloorFigures,
  NonFinite,
  TensorResult,
  TokenCosine,
  TokenRelL2,
} from "../core/tensor-result.ts";
import { dtype, elementAt, kinds, layer, role, step, tokenAt, verdict } from "./schema-parts.ts";

const floorFigures = fields<FloorFigures>({
  floorRatio: number,
  floorRatioP99: number,
  floorTokenRatio: number,
  floorTokenRatioAt: tokenAt,
  worstSampleFloorRatio: number,
  worstSample: nullable(count),
  floorGm: number,
});

const ownStatistic = nullable(
  fields<OwnStatistic>({ value: number, floor: nullable(number), limit: nullable(number) }),
);

const ownFigures = fields<OwnFigures>({
  gm: nullable(number),
  p50: nullable(number),
  p99: nullable(number),
  max: nullable(number),
  maxAt: tokenAt,
  u: nullable(number),
  slope: nullable(number),
  gmOverFloor: nullable(number),
  floorGm: nullable(number),
  mismatched: count,
  statistics: nullable(
    fields<OwnStatistics>({
      energy: ownStatistic,
      sample: ownStatistic,
      token: ownStatistic,
      element: ownStatistic,
      slope: ownStatistic,
      channel: ownStatistic,
      offset: ownStatistic,
      gain: ownStatistic,
    }),
  ),
});

const sideStatistics = fields<SideStatistics>({
  min: number,
  max: number,
  mean: number,
  rms: number,
  nan: count,
  posInf: count,
  negInf: count,
});

const statsFigures = fields<StatsFigures>({
  reference: sideStatistics,
  candidate: sideStatistics,
  difference: fields<StatsFigures["difference"]>({
    min: number,
    max: number,
    mean: number,
    rms: number,
  }),
  normRatio: number,
  mismatched: count,
  saturated: count,
  bounds: nullable(
    fields<StatsBounds>({
      relL2: number,
      tokenRelL2Max: number,
      maxAbs: number,
      mse: number,
      cosine: number,
    }),
  ),
});

export const tensor = fields<TensorResult>({
  name: text,
  layer,
  step,
  verdict,
  role: nullable(role),
  dtype: fields<TensorResult["dtype"]>({ reference: dtype, candidate: dtype }),
  samples: count,
  rows: count,
  elements: count,
  relL2: nullable(number),
  snrDb: nullable(number),
  tokenRelL2: nullable(
    fields<TokenRelL2>({
      gm: number,
      p50: number,
      p99: number,
      max: number,
      maxAt: tokenAt,
      worstSampleGm: number,
    }),
  ),
  cosine: nullable(number),
  cosineDistance: nullable(number),
  tokenCosine: nullable(
    fields<TokenCosine>({
      mean: number,
      min: number,
      minAt: tokenAt,
      p1: number,
      p5: number,
      p50: number,
    }),
  ),
  mse: nullable(number),
  rmse: nullable(number),
  meanAbs: nullable(number),
  bias: nullable(number),
  maxAbs: nullable(number),
  maxAbsAt: elementAt,
  normRatio: nullable(number),
  slope: nullable(number),
  floorRatio: nullable(number),
  floorRatioP99: nullable(number),
  floor: nullable(floorFigures),
  priorLimit: nullable(number),
  own: nullable(ownFigures),
  nonFinite: nullable(
    fields<NonFinite>({
      reference: kinds,
      candidate: kinds,
      mismatched: count,
      firstAt: elementAt,
      saturated: count,
    }),
  ),
  bitsDiffering: nullable(count),
  statsFigures: nullable(statsFigures),
});
