/** The JSON form of the performance of two sides. */

import {
  PERFORMANCE_METRIC_NAMES,
  type PerformanceCondition,
  type PerformanceFigures,
  type PerformanceMetric,
  type PerformancePoint,
  type PerformanceResult,
  type PerformanceSide,
  type PerformanceSpread,
  type PerformanceSweepPoint,
} from "../core/performance.ts";
import {
  count,
  fields,
  flag,
  list,
  nullable,
  number,
  oneOf,
  type SchemaOf,
  text,
} from "../core/schema.ts";

/** A number that a file states, such as the mean of numbers of tokens. */
const stated = nullable(number);

const point = fields<PerformancePoint>({
  batch: stated,
  inputTokens: stated,
  outputTokens: stated,
  requests: stated,
  concurrency: stated,
});

const side = nullable(
  fields<PerformanceSide>({
    file: text,
    source: oneOf<PerformanceSide["source"]>("dump", "vllm-bench-serve"),
    engine: nullable(text),
    point,
    warmup: stated,
    ignoreEos: nullable(flag),
    tokens: nullable(text),
    requestRate: stated,
    completed: stated,
    failed: stated,
  }),
);

const figures = nullable(
  fields<PerformanceFigures>({
    value: number,
    spread: nullable(
      fields<PerformanceSpread>({
        count: nullable(count),
        mean: number,
        min: stated,
        max: stated,
        p50: stated,
        p99: stated,
      }),
    ),
  }),
);

const metrics = list(
  fields<PerformanceMetric>({
    metric: oneOf(...PERFORMANCE_METRIC_NAMES),
    unit: oneOf<PerformanceMetric["unit"]>(
      "ms",
      "s",
      "tokens",
      "requests",
      "tokens/s",
      "requests/s",
      "bytes",
    ),
    better: nullable(oneOf<NonNullable<PerformanceMetric["better"]>>("lower", "higher")),
    reference: figures,
    candidate: figures,
    ratio: stated,
    absent: fields<PerformanceMetric["absent"]>({
      reference: nullable(text),
      candidate: nullable(text),
    }),
  }),
);

const condition: SchemaOf<string | number | boolean> = { anyOf: [text, number, flag] };

export const performance = nullable(
  fields<PerformanceResult>({
    reference: side,
    candidate: side,
    metrics,
    sweeps: list(
      fields<PerformanceSweepPoint>({
        kind: text,
        batch: stated,
        inputTokens: stated,
        outputTokens: stated,
        metrics,
        speedUp: fields<PerformanceSweepPoint["speedUp"]>({
          reference: stated,
          candidate: stated,
        }),
      }),
    ),
    differences: list(
      fields<PerformanceCondition>({
        condition: oneOf<PerformanceCondition["condition"]>(
          "source",
          "engine",
          "batch",
          "inputTokens",
          "outputTokens",
          "requests",
          "concurrency",
          "warmup",
          "ignoreEos",
          "tokens",
          "requestRate",
        ),
        reference: condition,
        candidate: condition,
      }),
    ),
  }),
);
