/** Everything that the reports of performance say, in both languages. */

import { counted } from "../../core/counted.ts";
import type { PerformanceCondition, PerformanceMetricName } from "../../core/performance.ts";
import type { Language } from "../messages/index.ts";

/** Arguments are texts that are already formatted and escaped. */
export interface PerformanceMessages {
  readonly title: string;
  readonly reference: string;
  readonly candidate: string;
  readonly metric: Readonly<Record<PerformanceMetricName, string>>;
  /** Titles of columns, for a terminal and for model cards. */
  readonly columns: Readonly<Record<ColumnTitle, string>>;
  readonly card: Readonly<
    Record<ColumnTitle | "mean" | "min" | "max" | "time" | "total", string>
  > & {
    /** A statistic of a side. */
    readonly of: (side: string, what: string) => string;
  };
  /** What may differ between the two sides. */
  readonly condition: Readonly<Record<PerformanceCondition["condition"], string>>;
  readonly batch: (batch: string) => string;
  readonly tokens: (input: string, output: string) => string;
  readonly requests: (requests: string) => string;
  readonly concurrency: (requests: string) => string;
  readonly rate: (requests: string) => string;
  readonly warmup: (count: string) => string;
  readonly ignoresEos: string;
  readonly completed: (count: string) => string;
  readonly failed: (count: string) => string;
  readonly p99: (value: string) => string;
  /** Of a metric of which no value is a number. */
  readonly undefined: string;
  readonly notMeasured: string;
  readonly because: (reason: string) => string;
  readonly lacks: (metric: string, side: string, reason: string) => string;
  readonly unlike: (conditions: string) => string;
  readonly more: (count: string) => string;
  readonly tables: {
    readonly latency: string;
    readonly throughput: string;
    readonly load: string;
    /** By the kind of a sweep; another kind is named as it is. */
    readonly sweep: Readonly<Record<string, string>>;
    readonly otherSweep: (kind: string) => string;
  };
  readonly separator: string;
}

type ColumnTitle =
  | "metric"
  | "reference"
  | "candidate"
  | "ratio"
  | "batch"
  | "input"
  | "output"
  | "throughput"
  | "speedUp";

const EN: PerformanceMessages = {
  title: "Performance",
  reference: "reference",
  candidate: "candidate",
  metric: {
    ttft_ms: "TTFT",
    prefill_ms: "Prefill",
    tpot_ms: "TPOT",
    itl_ms: "ITL",
    e2e_ms: "E2E latency",
    input_tokens: "Input tokens",
    output_tokens: "Output tokens",
    iteration_s: "Iteration",
    output_tokens_per_s: "Output tok/s",
    total_tokens_per_s: "Total tok/s",
    requests_per_s: "Requests/s",
    load_s: "Load",
    weights_load_s: "Load of weights",
    weights_bytes: "Weights",
    kv_cache_tokens: "KV cache tokens",
    kv_cache_bytes: "KV cache",
    max_concurrency: "Max concurrency",
    peak_memory_bytes: "Peak memory",
    peak_reserved_bytes: "Peak reserved",
  },
  columns: {
    metric: "METRIC",
    reference: "REFERENCE",
    candidate: "CANDIDATE",
    ratio: "RATIO",
    batch: "BATCH",
    input: "IN",
    output: "OUT",
    throughput: "TOK/S",
    speedUp: "SPEED-UP",
  },
  card: {
    metric: "Metric",
    reference: "Reference",
    candidate: "Candidate",
    ratio: "Candidate / reference",
    batch: "Batch",
    input: "Input tokens",
    output: "Output tokens",
    throughput: "output tok/s",
    speedUp: "speed-up",
    mean: "avg",
    min: "min",
    max: "max",
    time: "time (s)",
    total: "total tok/s",
    of: (side, what) => `${side}, ${what}`,
  },
  condition: {
    source: "source",
    engine: "engine",
    batch: "batch",
    inputTokens: "input tokens",
    outputTokens: "output tokens",
    requests: "requests",
    concurrency: "requests at a time",
    warmup: "warm-up",
    ignoreEos: "EOS ignored",
    tokens: "tokens",
    requestRate: "requests/s",
  },
  batch: (batch) => `batch ${batch}`,
  tokens: (input, output) => `${input} + ${counted(output, "token")}`,
  requests: (requests) => counted(requests, "request"),
  concurrency: (requests) => `${requests} at a time`,
  rate: (requests) => `${counted(requests, "request/s", "requests/s")} at most`,
  warmup: (count) => `${count} warm-up`,
  ignoresEos: "EOS ignored",
  completed: (count) => `${count} answered`,
  failed: (count) => `${count} failed`,
  p99: (value) => `p99 ${value}`,
  undefined: "undefined",
  notMeasured: "not measured",
  because: (reason) => `not measured: ${reason}`,
  lacks: (metric, side, reason) => `${metric} of the ${side} not measured: ${reason}`,
  unlike: (conditions) => `not measured alike: ${conditions}`,
  more: (count) => `${count} more rows, all in --format json`,
  tables: {
    latency: "Latency",
    throughput: "Throughput",
    load: "Load and memory",
    sweep: {
      batch: "Throughput by batch",
      output: "Throughput by output tokens",
      input: "Throughput by input tokens",
    },
    otherSweep: (kind) => `Sweep: ${kind}`,
  },
  separator: ", ",
};

const ZH: PerformanceMessages = {
  title: "性能",
  reference: "基准",
  candidate: "待测",
  metric: {
    ttft_ms: "首 token 延迟 (TTFT)",
    prefill_ms: "Prefill 延迟",
    tpot_ms: "单 token 延迟 (TPOT)",
    itl_ms: "token 间隔 (ITL)",
    e2e_ms: "端到端延迟 (E2E)",
    input_tokens: "输入 token 数",
    output_tokens: "输出 token 数",
    iteration_s: "单轮耗时",
    output_tokens_per_s: "输出吞吐 tok/s",
    total_tokens_per_s: "总吞吐（含输入）tok/s",
    requests_per_s: "请求吞吐 req/s",
    load_s: "加载时间",
    weights_load_s: "权重加载时间",
    weights_bytes: "权重内存占用",
    kv_cache_tokens: "KV Cache 容量 (token)",
    kv_cache_bytes: "KV Cache 占用",
    max_concurrency: "最大并发请求数",
    peak_memory_bytes: "显存峰值",
    peak_reserved_bytes: "显存预留峰值",
  },
  columns: {
    metric: "指标",
    reference: "基准",
    candidate: "待测",
    ratio: "比值",
    batch: "批大小",
    input: "输入",
    output: "输出",
    throughput: "tok/s",
    speedUp: "加速比",
  },
  card: {
    metric: "指标",
    reference: "基准",
    candidate: "待测",
    ratio: "待测 / 基准",
    batch: "Batch Size",
    input: "输入 token",
    output: "输出 token",
    throughput: "输出吞吐 (tok/s)",
    speedUp: "加速比",
    mean: "平均",
    min: "最小",
    max: "最大",
    time: "耗时 (s)",
    total: "总吞吐 (tok/s)",
    of: (side, what) => `${side} ${what}`,
  },
  condition: {
    source: "来源",
    engine: "引擎",
    batch: "batch",
    inputTokens: "输入 token 数",
    outputTokens: "输出 token 数",
    requests: "请求数",
    concurrency: "并发数",
    warmup: "预热次数",
    ignoreEos: "忽略 EOS",
    tokens: "token 类型",
    requestRate: "每秒请求数",
  },
  batch: (batch) => `batch ${batch}`,
  tokens: (input, output) => `输入 ${input} + 输出 ${output} token`,
  requests: (requests) => `${requests} 个请求`,
  concurrency: (requests) => `并发 ${requests}`,
  rate: (requests) => `每秒至多 ${requests} 个请求`,
  warmup: (count) => `预热 ${count} 次`,
  ignoresEos: "忽略 EOS",
  completed: (count) => `完成 ${count} 个`,
  failed: (count) => `失败 ${count} 个`,
  p99: (value) => `p99 ${value}`,
  undefined: "无定义",
  notMeasured: "未测量",
  because: (reason) => `未测量：${reason}`,
  lacks: (metric, side, reason) => `${side}侧的${metric}未测量：${reason}`,
  unlike: (conditions) => `测量条件不同：${conditions}`,
  more: (count) => `另有 ${count} 行，见 --format json`,
  tables: {
    latency: "延迟",
    throughput: "吞吐",
    load: "加载与内存",
    sweep: {
      batch: "不同 batch size 的吞吐",
      output: "不同输出长度的吞吐",
      input: "不同输入长度的吞吐",
    },
    otherSweep: (kind) => `扫描：${kind}`,
  },
  separator: "，",
};

export const PERFORMANCE_MESSAGES: Readonly<Record<Language, PerformanceMessages>> = {
  en: EN,
  zh: ZH,
};
