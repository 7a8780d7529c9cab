/**
 * The JSON form of a comparison: one definition, from which the published JSON
 * Schema is generated and by whose order of keys the JSON renderer writes. A
 * field of the result that is missing here does not compile.
 */

import type { DType } from "../core/dtype.ts";
import type * as R from "../core/result.ts";
import {
  anything,
  count,
  fields,
  flag,
  list,
  nothing,
  nullable,
  number,
  oneOf,
  pair,
  type Schema,
  type SchemaOf,
  text,
} from "./schema-types.ts";

const record: SchemaOf<Readonly<Record<string, unknown>>> = { type: "object" };
const step = oneOf<R.StepGroup>("prefill", "decode");
const role = oneOf<R.Role>("origin", "inherited", "independent");
const verdict = oneOf<R.Verdict>("pass", "fail", "inconclusive");
const source = oneOf<R.LimitSource>("method", "floor", "prior", "flag", "preset", "structure");
const interval = nullable(pair(number));
const layer = nullable(count);
const dtype = oneOf<DType>(
  "F64",
  "F32",
  "F16",
  "BF16",
  "F8_E4M3",
  "F8_E5M2",
  "I64",
  "I32",
  "I16",
  "I8",
  "U8",
  "BOOL",
);
/** Metadata of the whole run have sample -1. */
const anySample: SchemaOf<number> = { type: "integer", minimum: -1 };
const detail: SchemaOf<R.Finding["detail"]> = {
  type: "object",
  additionalProperties: { anyOf: [text, { type: "number" }] },
};

const tokenAt = nullable(fields<R.TokenAt>({ sample: count, step: count, token: count }));
const elementAt = nullable(
  fields<R.ElementAt>({
    sample: count,
    step: count,
    index: list(count),
    reference: number,
    candidate: number,
  }),
);
const clusteredMean = fields<R.ClusteredMean>({
  mean: number,
  se: nullable(number),
  ci95: interval,
  clusters: count,
});
const kinds = fields<R.NonFinite["reference"]>({ nan: count, posInf: count, negInf: count });

const finding = fields<R.Finding>({
  rule: text,
  level: oneOf<R.RuleLevel>("error", "warning", "info"),
  tensor: nullable(text),
  step: nullable(step),
  sample: nullable(anySample),
  role: nullable(role),
  value: nullable(number),
  limit: nullable(number),
  limitFrom: nullable(source),
  detail,
});

const appliedRule = fields<R.AppliedRule>({
  rule: text,
  step: nullable(step),
  applied: flag,
  limit: nullable(number),
  limitFrom: nullable(source),
  decide: nullable(oneOf<NonNullable<R.AppliedRule["decide"]>>("interval", "point")),
  reason: nullable(text),
});

const floorFigures = fields<R.FloorFigures>({
  floorRatio: number,
  floorRatioP99: number,
  floorTokenRatio: number,
  floorTokenRatioAt: tokenAt,
  worstSampleFloorRatio: number,
  worstSample: nullable(count),
  floorGm: number,
});

const ownStatistic = nullable(
  fields<R.OwnStatistic>({ value: number, floor: nullable(number), limit: nullable(number) }),
);

const ownFigures = fields<R.OwnFigures>({
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
    fields<R.OwnStatistics>({
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

const sideStatistics = fields<R.SideStatistics>({
  min: number,
  max: number,
  mean: number,
  rms: number,
  nan: count,
  posInf: count,
  negInf: count,
});

const statsFigures = fields<R.StatsFigures>({
  reference: sideStatistics,
  candidate: sideStatistics,
  difference: fields<R.StatsFigures["difference"]>({
    min: number,
    max: number,
    mean: number,
    rms: number,
  }),
  normRatio: number,
  mismatched: count,
  saturated: count,
  bounds: nullable(
    fields<R.StatsBounds>({
      relL2: number,
      tokenRelL2Max: number,
      maxAbs: number,
      mse: number,
      cosine: number,
    }),
  ),
});

const tensor = fields<R.TensorResult>({
  name: text,
  layer,
  step,
  verdict,
  role: nullable(role),
  dtype: fields<R.TensorResult["dtype"]>({ reference: dtype, candidate: dtype }),
  samples: count,
  rows: count,
  elements: count,
  relL2: nullable(number),
  snrDb: nullable(number),
  tokenRelL2: nullable(
    fields<R.TokenRelL2>({
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
    fields<R.TokenCosine>({
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
    fields<R.NonFinite>({
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

const perplexity = nullable(
  fields<R.PerplexityResult>({
    reference: number,
    candidate: number,
    relativeIncrease: number,
    ci95: interval,
    tokens: count,
    samples: count,
    deltaNll: clusteredMean,
  }),
);
const kl = nullable(
  fields<R.KlResult>({
    mean: number,
    se: nullable(number),
    ci95: interval,
    clusters: count,
    gm: number,
    median: number,
    p95: number,
    p99: number,
    p999: number,
    max: number,
    maxAt: tokenAt,
    positions: count,
    floorRatio: nullable(number),
  }),
);
const top1Agreement = nullable(
  fields<R.Top1Result>({
    share: number,
    agreed: count,
    positions: count,
    strict: number,
    ci95: pair(number),
    nearTies: nullable(count),
  }),
);
const topKOverlap = nullable(
  fields<NonNullable<R.Quality["topKOverlap"]>>({ k5: nullable(number), k10: nullable(number) }),
);
const flips = nullable(
  fields<R.FlipsResult>({
    count,
    expected: number,
    real: count,
    sigmaFrom: oneOf<R.FlipsResult["sigmaFrom"]>("floor", "candidate"),
  }),
);
const deltaP = nullable(
  fields<R.DeltaPResult>({
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

const quality = fields<R.Quality>({
  perplexity,
  perplexitySeed: nullable(
    fields<NonNullable<R.Quality["perplexitySeed"]>>({
      reference: number,
      candidate: number,
      relativeIncrease: number,
    }),
  ),
  kl,
  top1Agreement,
  topKOverlap,
  flips,
  deltaP,
  firstToken: nullable(
    fields<R.FirstTokenResult>({
      agreed: count,
      samples: count,
      share: number,
      ci95: pair(number),
      from: oneOf<R.FirstTokenResult["from"]>("generated", "logits"),
    }),
  ),
  generation: nullable(
    fields<R.GenerationResult>({
      samples: count,
      exact: count,
      firstDivergence: nullable(
        fields<NonNullable<R.GenerationResult["firstDivergence"]>>({
          mean: number,
          p50: number,
          min: number,
        }),
      ),
    }),
  ),
  determinism: nothing,
  klLowerBound: nullable(
    fields<R.KlBoundResult>({
      mean: number,
      se: nullable(number),
      ci95: interval,
      clusters: count,
      max: number,
      maxAt: tokenAt,
      positions: count,
    }),
  ),
  lse: nullable(
    fields<R.LseResult>({ meanAbs: number, maxAbs: number, maxAt: tokenAt, positions: count }),
  ),
  notAvailable: list(fields<R.NotAvailable>({ figure: text, reason: text })),
  decode: nullable(
    fields<R.DecodeQuality>({ perplexity, kl, top1Agreement, topKOverlap, flips, deltaP }),
  ),
});

const input = fields<R.InputSummary>({
  file: text,
  bytes: count,
  tokensSha256: nullable(text),
  run: record,
  repaired: flag,
});

const located = fields<R.Origin>({
  tensor: text,
  layer,
  step,
  causes: list(fields<R.CauseResult>({ id: text, confidence: number, evidence: text, detail })),
});
const origin = nullable(located);

const names = fields<R.ComparisonResult["missing"]>({
  reference: list(text),
  candidate: list(text),
});

/** What the JSON report holds beside the result itself. */
interface Envelope {
  readonly $schema: typeof RESULT_SCHEMA_ID;
}

/** Where a consumer finds the schema: a path inside the npm package. */
export const RESULT_SCHEMA_ID = "npu-diff/schema/result.schema.json";

export const RESULT_SCHEMA: Schema = fields<Envelope & R.ComparisonResult>({
  $schema: { const: RESULT_SCHEMA_ID },
  schemaVersion: { const: 1 },
  verdict,
  origin,
  findings: list(finding),
  quality,
  tensors: list(tensor),
  notCaptured: names,
  missing: names,
  inputs: fields<R.ComparisonResult["inputs"]>({
    reference: input,
    candidate: input,
    floors: list(input),
    forced: list(input),
  }),
  tokens: fields<R.ComparisonResult["tokens"]>({ samples: count, tokens: count }),
  environment: fields<R.ComparisonResult["environment"]>({
    differences: list(
      fields<R.EnvironmentDifference>({ key: text, reference: anything, candidate: anything }),
    ),
  }),
  performance: nothing,
  evidence: oneOf<R.ComparisonResult["evidence"]>("forced", "floor", "prior", "exact"),
  preset: oneOf<R.ComparisonResult["preset"]>("exact", "f64", "f32", "f16", "bf16", "fp8"),
  groups: list(
    fields<R.GroupResult>({
      step,
      verdict,
      origin,
      throughCache: flag,
      independent: list(located),
      systematic: nullable(fields<R.Systematic>({ role: text, faulty: count, places: count })),
    }),
  ),
  isolated: flag,
  rules: list(appliedRule),
  stopped: flag,
});
