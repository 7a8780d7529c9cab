/** Performance made by hand, for renderers to show. */

import {
  PERFORMANCE_METRICS,
  type PerformanceFigures,
  type PerformanceMetric,
  type PerformanceMetricName,
  type PerformanceResult,
  type PerformanceSide,
  type PerformanceSweepPoint,
} from "../../src/core/performance.ts";

function side(parts: Partial<PerformanceSide>): PerformanceSide {
  return {
    file: "bench.arrow",
    source: "dump",
    engine: "transformers",
    point: { batch: 1, inputTokens: 128, outputTokens: 128, requests: 20, concurrency: 1 },
    warmup: 2,
    ignoreEos: true,
    tokens: "random",
    requestRate: null,
    completed: null,
    failed: null,
    ...parts,
  };
}

type Given = number | null | readonly [mean: number, min: number, max: number];

function figures(given: Given): PerformanceFigures | null {
  if (given === null) return null;
  if (typeof given === "number") return { value: given, spread: null };
  const [mean, min, max] = given;
  return { value: mean, spread: { count: 20, mean, min, max, p50: mean, p99: max } };
}

function metric(
  name: PerformanceMetricName,
  reference: Given,
  candidate: Given,
  absent: Partial<PerformanceMetric["absent"]> = {},
): PerformanceMetric {
  const { unit, better } = PERFORMANCE_METRICS[name];
  const sides = { reference: figures(reference), candidate: figures(candidate) };
  const ratio = (sides.candidate?.value ?? Number.NaN) / (sides.reference?.value ?? Number.NaN);
  return {
    metric: name,
    unit,
    better,
    ...sides,
    ratio: Number.isFinite(ratio) ? ratio : null,
    absent: { reference: null, candidate: null, ...absent },
  };
}

function batch(
  size: number,
  reference: readonly [seconds: number, rate: number, speedUp: number | null] | null,
  candidate: readonly [seconds: number, rate: number, speedUp: number | null] | null,
): PerformanceSweepPoint {
  return {
    kind: "batch",
    batch: size,
    inputTokens: 128,
    outputTokens: 20,
    metrics: [
      metric("iteration_s", reference?.[0] ?? null, candidate?.[0] ?? null),
      metric("output_tokens_per_s", reference?.[1] ?? null, candidate?.[1] ?? null),
      metric("total_tokens_per_s", null, (candidate?.[1] ?? 0) * 7.4),
    ],
    speedUp: { reference: reference?.[2] ?? null, candidate: candidate?.[2] ?? null },
  };
}

/** Both sides, two sweeps, figures that a side lacks, and requests that failed. */
export const PERFORMANCE: PerformanceResult = {
  reference: side({ file: "cpu-bench.arrow" }),
  candidate: side({
    file: "npu-bench.json",
    source: "vllm-bench-serve",
    engine: "openai",
    point: { batch: null, inputTokens: 128, outputTokens: 126.5, requests: 20, concurrency: 4 },
    warmup: null,
    ignoreEos: null,
    tokens: null,
    completed: 18,
    failed: 2,
  }),
  metrics: [
    metric("ttft_ms", [1970.02, 1900.5, 2100.25], [52.125, 50.1, 58.75]),
    metric("tpot_ms", [51.3, 50.9, 52.2], [Number.NaN, Number.NaN, Number.NaN]),
    metric("e2e_ms", [6566.3, 6401.4, 6839.9], [420.5, 400, 450]),
    metric("output_tokens", [128, 128, 128], [126.5, 120, 128]),
    metric("output_tokens_per_s", 19.49, 351.2),
    metric("total_tokens_per_s", 36.01, 702.4),
    metric("requests_per_s", 0.1523, 2.744),
    metric("load_s", 4.25, 129.55),
    metric("weights_bytes", 1.64e9, 1.64e9),
    metric("kv_cache_tokens", null, 4_453_376, { reference: "transformers has no such cache" }),
  ],
  sweeps: [
    batch(1, [0.75, 26.7, 1], [0.35, 57.1, 1]),
    batch(8, [0.896, 178.6, 6.69], [0.4, 400, 7.005]),
    batch(32, null, [0.6, 1066.7, 18.68]),
    {
      kind: "output",
      batch: 8,
      inputTokens: 128,
      outputTokens: 10,
      metrics: [metric("iteration_s", 0.503, 0.2), metric("output_tokens_per_s", 159.1, 400)],
      speedUp: { reference: null, candidate: null },
    },
  ],
  differences: [
    { condition: "engine", reference: "transformers", candidate: "openai" },
    { condition: "outputTokens", reference: 128, candidate: 126.5 },
    { condition: "concurrency", reference: 1, candidate: 4 },
  ],
};

/** The candidate alone. */
export const PERFORMANCE_OF_ONE: PerformanceResult = {
  reference: null,
  candidate: side({ file: "npu-bench.arrow", engine: "vllm", ignoreEos: false }),
  metrics: [
    metric("ttft_ms", null, [52.125, 50.1, 58.75]),
    metric("output_tokens_per_s", null, 351.2),
    metric("peak_memory_bytes", null, null, { candidate: "this device does not tell" }),
  ],
  sweeps: [batch(1, null, [0.35, 57.1, 1]), batch(2, null, [0.36, 111.1, 1.946])],
  differences: [],
};

/** Everything that a file may name, named `text`. */
export function hostilePerformance(text: string): PerformanceResult {
  return {
    ...PERFORMANCE,
    reference: side({ file: text, engine: text, tokens: text }),
    metrics: [metric("load_s", null, 1, { reference: text })],
    sweeps: PERFORMANCE.sweeps.map((one) => ({ ...one, kind: text })),
    differences: [{ condition: "engine", reference: text, candidate: "vllm" }],
  };
}
