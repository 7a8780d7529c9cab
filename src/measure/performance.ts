/** The performance of two sides, metric by metric and point by point. */

import type { PerformanceSources } from "../align/performance.ts";
import { Distribution } from "../core/distribution.ts";
import {
  PERFORMANCE_METRIC_NAMES,
  PERFORMANCE_METRICS,
  type PerformanceCondition,
  type PerformanceFigures,
  type PerformanceMetric,
  type PerformanceMetricName,
  type PerformancePoint,
  type PerformanceResult,
  type PerformanceSide,
  type PerformanceSpread,
  type PerformanceSweepPoint,
} from "../core/performance.ts";
import { sweepKey } from "../dump/performance/perf-tensors.ts";
import type {
  Measured,
  Measurements,
  PerformanceSource,
  SweepSource,
} from "../dump/performance/source.ts";

/**
 * The performance of both sides, or of the one that was measured; nothing of it is judged.
 *
 * A ratio is candidate over reference, of scalars or of means over the values that are numbers.
 *
 * @returns null where neither was measured.
 */
export function comparePerformance(sources: PerformanceSources): PerformanceResult | null {
  const { reference, candidate } = sources;
  if (reference === null && candidate === null) return null;
  return {
    reference: reference?.side ?? null,
    candidate: candidate?.side ?? null,
    metrics: compareMetrics(reference?.measured ?? null, candidate?.measured ?? null, sources),
    sweeps: compareSweeps(sources),
    differences:
      reference === null || candidate === null ? [] : differences(reference.side, candidate.side),
  };
}

function compareMetrics(
  reference: Measurements | null,
  candidate: Measurements | null,
  sources: PerformanceSources | null,
): readonly PerformanceMetric[] {
  return PERFORMANCE_METRIC_NAMES.flatMap((metric): PerformanceMetric[] => {
    const figures = {
      reference: figuresOf(reference?.get(metric)),
      candidate: figuresOf(candidate?.get(metric)),
    };
    const absent = {
      reference: figures.reference === null ? why(sources?.reference ?? null, metric) : null,
      candidate: figures.candidate === null ? why(sources?.candidate ?? null, metric) : null,
    };
    const known = [...Object.values(figures), ...Object.values(absent)];
    if (known.every((one) => one === null)) return [];
    const { unit, better } = PERFORMANCE_METRICS[metric];
    const ratio = quotient(figures.candidate?.value, figures.reference?.value);
    return [{ metric, unit, better, ...figures, ratio, absent }];
  });
}

function why(source: PerformanceSource | null, metric: PerformanceMetricName): string | null {
  return source?.absent.get(metric) ?? null;
}

/** a / b; null where that is no finite number, or one of the two is not known. */
function quotient(a: number | null | undefined, b: number | null | undefined): number | null {
  const ratio = (a ?? Number.NaN) / (b ?? Number.NaN);
  return Number.isFinite(ratio) ? ratio : null;
}

function figuresOf(measured: Measured | undefined): PerformanceFigures | null {
  if (measured === undefined) return null;
  if (measured.kind === "scalar") return { value: measured.value, spread: null };
  const spread = measured.kind === "values" ? spreadOf(measured.values) : measured.spread;
  return { value: spread.mean, spread };
}

function spreadOf(values: Float64Array): PerformanceSpread {
  const distribution = new Distribution();
  let sum = 0;
  for (const value of values) {
    if (Number.isNaN(value)) continue;
    distribution.add(value);
    sum += value;
  }
  const { count } = distribution;
  return {
    count,
    mean: sum / count,
    min: distribution.quantile(0),
    max: distribution.quantile(1),
    p50: distribution.quantile(0.5),
    p99: distribution.quantile(0.99),
  };
}

/** Points of both sides, matched by kind, batch and tokens; what one side alone measured stands alone. */
function compareSweeps({
  reference,
  candidate,
}: PerformanceSources): readonly PerformanceSweepPoint[] {
  const [mine, theirs] = [byKey(reference), byKey(candidate)];
  const keys = [...new Set([...mine.keys(), ...theirs.keys()])];
  const points = keys.flatMap((key): PerformanceSweepPoint[] => {
    const [a, b] = [mine.get(key), theirs.get(key)];
    const one = a ?? b;
    if (one === undefined) return [];
    const { batch, inputTokens, outputTokens } = one.point;
    return [
      {
        kind: one.kind,
        batch,
        inputTokens,
        outputTokens,
        metrics: compareMetrics(a?.measured ?? null, b?.measured ?? null, null),
        speedUp: {
          reference: speedUp(a, reference),
          candidate: speedUp(b, candidate),
        },
      },
    ];
  });
  return points.sort(
    (a, b) =>
      (a.kind < b.kind ? -1 : Number(a.kind > b.kind)) ||
      (a.inputTokens ?? 0) - (b.inputTokens ?? 0) ||
      (a.kind === BATCH ? 0 : (a.batch ?? 0) - (b.batch ?? 0)) ||
      (a.outputTokens ?? 0) - (b.outputTokens ?? 0) ||
      (a.batch ?? 0) - (b.batch ?? 0),
  );
}

function byKey(source: PerformanceSource | null): ReadonlyMap<string, SweepSource> {
  return new Map((source?.sweep ?? []).map((one) => [sweepKey(one.kind, one.point), one]));
}

/** The sweep of which a speed-up is made. */
const BATCH = "batch";

function speedUp(one: SweepSource | undefined, source: PerformanceSource | null): number | null {
  if (one?.kind !== BATCH || one.point.batch === null) return null;
  const { inputTokens, outputTokens } = one.point;
  const alike = (source?.sweep ?? []).filter(
    ({ kind, point }) =>
      kind === BATCH &&
      point.batch !== null &&
      point.inputTokens === inputTokens &&
      point.outputTokens === outputTokens,
  );
  const smallest = alike.reduce((a, b) => ((b.point.batch ?? 0) < (a.point.batch ?? 0) ? b : a));
  return alike.length < 2 ? null : quotient(throughput(one), throughput(smallest));
}

function throughput({ measured }: SweepSource): number | undefined {
  return figuresOf(measured.get("output_tokens_per_s"))?.value;
}

/** In what two main points differ, by what both say. */
function differences(a: PerformanceSide, b: PerformanceSide): readonly PerformanceCondition[] {
  const point = (key: keyof PerformancePoint): Stated => [key, a.point[key], b.point[key]];
  const stated: readonly Stated[] = [
    ["source", a.source, b.source],
    ["engine", a.engine, b.engine],
    point("batch"),
    point("inputTokens"),
    point("outputTokens"),
    point("requests"),
    point("concurrency"),
    ["warmup", a.warmup, b.warmup],
    ["ignoreEos", a.ignoreEos, b.ignoreEos],
    ["tokens", a.tokens, b.tokens],
    ["requestRate", a.requestRate, b.requestRate],
  ];
  return stated.flatMap(([condition, reference, candidate]) =>
    reference === null || candidate === null || reference === candidate
      ? []
      : [{ condition, reference, candidate }],
  );
}

type Stated = readonly [
  condition: PerformanceCondition["condition"],
  reference: PerformanceCondition["reference"] | null,
  candidate: PerformanceCondition["candidate"] | null,
];
