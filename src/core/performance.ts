/**
 * How fast a run was, beside how exact: figures that are shown and never judged.
 * Field names are frozen, additions only.
 */

/** What a metric is measured in. */
export type PerformanceUnit =
  | "ms"
  | "s"
  | "tokens"
  | "requests"
  | "tokens/s"
  | "requests/s"
  | "bytes";

/** The table of a report that a metric belongs to. */
export type PerformanceGroup = "latency" | "throughput" | "load";

/** What is known of a metric beforehand. */
export interface PerformanceMetricFacts {
  readonly unit: PerformanceUnit;
  readonly group: PerformanceGroup;
  /** Null where neither is better by itself. */
  readonly better: "lower" | "higher" | null;
}

const LATENCY = { unit: "ms", group: "latency", better: "lower" } as const;
const RATE = { unit: "tokens/s", group: "throughput", better: "higher" } as const;
const SECONDS = { unit: "s", group: "load", better: "lower" } as const;
const MEMORY = { unit: "bytes", group: "load", better: "lower" } as const;
const ROOM = { group: "load", better: "higher" } as const;

/**
 * Every metric by the name that it has in a dump behind `perf.`, in the order of a report.
 *
 * - `ttft_ms`, `prefill_ms`, `tpot_ms`, `e2e_ms`: one value a request: to the first token; the prefill
 *   alone; mean per output token after the first, NaN where one token was made; of the whole request.
 * - `itl_ms`: one value a pause between two tokens, over all requests.
 * - `input_tokens`, `output_tokens`: one value a request: tokens of its prompt, and that it made.
 * - `iteration_s`: one value an iteration: its wall time.
 * - `output_tokens_per_s`, `total_tokens_per_s` (input and output), `requests_per_s`: over the time in
 *   which a measured request was under way.
 * - the others: of the whole run.
 */
export const PERFORMANCE_METRICS = {
  ttft_ms: LATENCY,
  prefill_ms: LATENCY,
  tpot_ms: LATENCY,
  itl_ms: LATENCY,
  e2e_ms: LATENCY,
  input_tokens: { unit: "tokens", group: "latency", better: null },
  output_tokens: { unit: "tokens", group: "latency", better: null },
  iteration_s: { unit: "s", group: "latency", better: "lower" },
  output_tokens_per_s: RATE,
  total_tokens_per_s: RATE,
  requests_per_s: { unit: "requests/s", group: "throughput", better: "higher" },
  load_s: SECONDS,
  weights_load_s: SECONDS,
  weights_bytes: MEMORY,
  kv_cache_tokens: { ...ROOM, unit: "tokens" },
  kv_cache_bytes: { ...ROOM, unit: "bytes" },
  max_concurrency: { ...ROOM, unit: "requests" },
  peak_memory_bytes: MEMORY,
  peak_reserved_bytes: MEMORY,
} as const satisfies Readonly<Record<string, PerformanceMetricFacts>>;

/** A figure of performance, by name. */
export type PerformanceMetricName = keyof typeof PERFORMANCE_METRICS;

/** The names of {@link PERFORMANCE_METRICS}, in its order. */
export const PERFORMANCE_METRIC_NAMES = Object.keys(
  PERFORMANCE_METRICS,
) as readonly PerformanceMetricName[];

/** Statistics of a metric with several values, in its unit; null where a file gives no single values and does not say. */
export interface PerformanceSpread {
  /** Values that are numbers; 0 where every one is NaN, as with one token a request. */
  readonly count: number | null;
  /** NaN where `count` is 0, and so are the others. */
  readonly mean: number;
  readonly min: number | null;
  readonly max: number | null;
  /** Quantiles interpolate linearly between order statistics, as NumPy's default does. */
  readonly p50: number | null;
  readonly p99: number | null;
}

/** What one side measured of a metric. */
export interface PerformanceFigures {
  /** The scalar, or the mean of the values: what the ratio is made of. NaN where nothing was a number. */
  readonly value: number;
  /** Null of a scalar. */
  readonly spread: PerformanceSpread | null;
}

/** A metric on both sides. */
export interface PerformanceMetric {
  readonly metric: PerformanceMetricName;
  readonly unit: PerformanceUnit;
  readonly better: "lower" | "higher" | null;
  /** Null where that side did not measure it. */
  readonly reference: PerformanceFigures | null;
  readonly candidate: PerformanceFigures | null;
  /** value(candidate) / value(reference); null where a side has none, or the quotient is no finite number. */
  readonly ratio: number | null;
  /** Why a side did not measure it, in its file's own words; null where it does not say. */
  readonly absent: { readonly reference: string | null; readonly candidate: string | null };
}

/** What was asked of an engine while it was measured; null where a file does not say. */
export interface PerformancePoint {
  /** Requests that were given together. */
  readonly batch: number | null;
  /** Tokens of a prompt, the mean of those given. */
  readonly inputTokens: number | null;
  /** New tokens a request, the mean where a file does not say what was asked for. */
  readonly outputTokens: number | null;
  readonly requests: number | null;
  /** Requests under way at a time, at most; null also where there was no bound. */
  readonly concurrency: number | null;
}

/** How one side was measured. */
export interface PerformanceSide {
  /** File name without its folder. */
  readonly file: string;
  /** A dump, or the JSON of `vllm bench serve --save-result`. */
  readonly source: "dump" | "vllm-bench-serve";
  readonly engine: string | null;
  readonly point: PerformancePoint;
  /** Requests, or iterations, before those that count. */
  readonly warmup: number | null;
  /** Whether requests went on beyond an end-of-sequence token. */
  readonly ignoreEos: boolean | null;
  /** `random` tokens, or `text`. */
  readonly tokens: string | null;
  /** Requests at a time at most that arrived in a second; null where all came at once, or nothing is said. */
  readonly requestRate: number | null;
  /** Requests that were answered, and that were not; null where nothing is said. */
  readonly completed: number | null;
  readonly failed: number | null;
}

/** One point of a sweep, which both sides share where kind, batch and tokens agree. */
export interface PerformanceSweepPoint {
  /** The table that it belongs to: `batch`, `output`, … */
  readonly kind: string;
  readonly batch: number | null;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly metrics: readonly PerformanceMetric[];
  /**
   * `output_tokens_per_s` over that of the side's smallest batch of equal kind and token counts; null
   * outside of `batch` sweeps, where a side has no such figure, and where it has one batch alone.
   */
  readonly speedUp: { readonly reference: number | null; readonly candidate: number | null };
}

/** A condition that was not the same on both sides; null is what a side does not have. */
export interface PerformanceCondition {
  readonly condition:
    | "source"
    | "engine"
    | "batch"
    | "inputTokens"
    | "outputTokens"
    | "requests"
    | "concurrency"
    | "warmup"
    | "ignoreEos"
    | "tokens"
    | "requestRate";
  readonly reference: string | number | boolean;
  readonly candidate: string | number | boolean;
}

/** The performance of both sides, or of the one that was measured. */
export interface PerformanceResult {
  readonly reference: PerformanceSide | null;
  readonly candidate: PerformanceSide | null;
  /** Of the main point and of the whole run: those that a side measured, or says why it did not. */
  readonly metrics: readonly PerformanceMetric[];
  /** By kind, then tokens, then batch. */
  readonly sweeps: readonly PerformanceSweepPoint[];
  /** In what the two main points differ, by what both say. */
  readonly differences: readonly PerformanceCondition[];
}
