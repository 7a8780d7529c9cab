/**
 * The JSON of `vllm bench serve --save-result`, with or without `--save-detailed`, of vLLM 0.18 to 0.32.
 *
 * Its times are seconds in lists and milliseconds in statistics; requests that failed are in the lists
 * (0 tokens, an error) and not in the statistics. What it says twice must agree.
 */

import { counted } from "../../core/counted.ts";
import type { NpuDiffError } from "../../core/errors.ts";
import { reasonOf } from "../../core/errors.ts";
import { depthOf } from "../../core/json-depth.ts";
import type { PerformanceMetricName } from "../../core/performance.ts";
import { MAX_BENCH_JSON_BYTES, MAX_JSON_DEPTH, MAX_PERFORMANCE_VALUES } from "../bounds.ts";
import type { DumpFile } from "../dump-file.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import { parsePythonJson } from "../python-json.ts";
import { amount, words } from "./facts.ts";
import type { Measured, PerformanceSource } from "./source.ts";

/** Two figures that are the same up to the order of a sum. */
const TOLERANCE = 1e-6;

/**
 * Reads the whole of `file`, which is no dump.
 *
 * @throws NpuDiffError `performance-invalid` where it is no such JSON, breaks off, is too large, or
 *   contradicts itself.
 */
export function readVllmBench(file: DumpFile): PerformanceSource {
  const json = parse(file);
  const completed = required(file, json, "completed");
  const duration = required(file, json, "duration");
  const failed = amount(json["failed"]);
  const inputTokens = amount(json["total_input_tokens"]);
  const outputTokens = amount(json["total_output_tokens"]);
  agree(file, json, "request_throughput", completed / duration, "completed / duration");
  if (outputTokens !== null) {
    agree(
      file,
      json,
      "output_throughput",
      outputTokens / duration,
      "total_output_tokens / duration",
    );
  }
  if (inputTokens !== null && outputTokens !== null) {
    const total = inputTokens + outputTokens;
    agree(file, json, "total_token_throughput", total / duration, "all tokens / duration");
  }
  const requests = readRequests(file, json, completed, failed);
  const measured = new Map(requests === null ? [] : detailed(file, json, requests));
  const statistics = [
    ["ttft_ms", "ttft"],
    ["tpot_ms", "tpot"],
    ["itl_ms", "itl"],
    ["e2e_ms", "e2el"],
  ] as const;
  // Newer versions keep these where the other lists are left out; of what failed they hold 0.
  if (requests === null && json["latencies"] !== undefined) {
    const answered = numbers(file, "latencies", json["latencies"]).filter((one) => one > 0);
    if (answered.length === completed) {
      const values = Float64Array.from(answered, (one) => 1000 * one);
      measured.set("e2e_ms", { kind: "values", values });
    }
  }
  for (const [metric, name] of statistics) {
    if (measured.has(metric)) continue;
    const found = statisticsOf(json, name, metric === "itl_ms" ? null : completed);
    if (found !== null) measured.set(metric, found);
  }
  const rates = [
    ["output_tokens_per_s", "output_throughput"],
    ["total_tokens_per_s", "total_token_throughput"],
    ["requests_per_s", "request_throughput"],
  ] as const;
  for (const [metric, name] of rates) {
    const value = amount(json[name]);
    if (value !== null) measured.set(metric, { kind: "scalar", value });
  }
  const each = (total: number | null): number | null =>
    total === null || completed === 0 ? null : total / completed;
  return {
    side: {
      file: file.name,
      source: "vllm-bench-serve",
      engine: words(json["backend"]) ?? words(json["endpoint_type"]),
      point: {
        batch: null,
        inputTokens: each(inputTokens),
        outputTokens: each(outputTokens),
        requests: amount(json["num_prompts"]),
        concurrency: amount(json["max_concurrency"]),
      },
      warmup: null,
      ignoreEos: null,
      tokens: null,
      requestRate: amount(json["request_rate"]),
      completed,
      failed: failed ?? (requests === null ? null : requests.ttfts.length - completed),
    },
    measured,
    sweep: [],
    absent: new Map(),
  };
}

function parse(file: DumpFile): JsonObject {
  const isBench = "a dump, or the JSON of vllm bench serve --save-result";
  if (file.size > MAX_BENCH_JSON_BYTES) {
    throw invalid(file, "is too large", {
      found: counted(file.size, "byte"),
      expected: `at most ${MAX_BENCH_JSON_BYTES} bytes of JSON, or a dump`,
    });
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(file.read(0, file.size));
  } catch (cause) {
    throw invalid(
      file,
      "is no text",
      { found: "bytes that are no UTF-8", expected: isBench },
      cause,
    );
  }
  const depth = depthOf(text);
  if (depth > MAX_JSON_DEPTH) {
    throw invalid(file, "is nested too deep", {
      found: counted(depth, "level"),
      expected: `at most ${MAX_JSON_DEPTH}`,
    });
  }
  let value: unknown;
  try {
    value = parsePythonJson(text);
  } catch (cause) {
    const found = reasonOf(cause);
    throw invalid(file, "is not one whole JSON object", { found, expected: isBench }, cause);
  }
  if (!isJsonObject(value)) {
    const found = Array.isArray(value) ? "an array" : typeof value;
    throw invalid(file, "is not a JSON object", { found, expected: isBench });
  }
  return value;
}

function required(file: DumpFile, json: JsonObject, key: string): number {
  const value = amount(json[key]);
  const positive = key !== "duration" || value !== 0;
  if (value !== null && positive) return value;
  throw invalid(file, `does not say its ${key}`, {
    found: JSON.stringify(json[key] ?? null).slice(0, 80),
    expected: "the JSON of vllm bench serve --save-result, with completed and duration",
  });
}

/** Refuses a figure that is not what the file's own numbers give. */
function agree(file: DumpFile, json: JsonObject, key: string, expected: number, how: string): void {
  const said = json[key];
  if (said === undefined || said === null) return;
  if (typeof said === "number" && near(said, expected)) return;
  throw invalid(file, `contradicts itself in ${key}`, {
    found: JSON.stringify(said).slice(0, 80),
    expected: `${expected}, which is ${how}`,
  });
}

function near(a: number, b: number): boolean {
  return Math.abs(a - b) <= TOLERANCE * Math.max(Math.abs(a), Math.abs(b));
}

/** The lists of `--save-detailed`, a value a request in seconds or tokens; `alive` are those that were answered. */
interface Requests {
  readonly ttfts: readonly number[];
  /** Null of versions that do not write them: a request is then its first token and all pauses. */
  readonly latencies: readonly number[] | null;
  readonly itls: readonly (readonly number[])[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly alive: readonly number[];
}

/** Null without `--save-detailed`. */
function readRequests(
  file: DumpFile,
  json: JsonObject,
  completed: number,
  failed: number | null,
): Requests | null {
  if (json["ttfts"] === undefined || json["itls"] === undefined) return null;
  const ttfts = numbers(file, "ttfts", json["ttfts"]);
  const outputs = numbers(file, "output_lens", json["output_lens"]);
  const inputs = numbers(file, "input_lens", json["input_lens"]);
  const pauseLists: unknown = json["itls"];
  if (!Array.isArray(pauseLists)) {
    throw invalid(file, "has no list of itls", {
      found: typeof pauseLists,
      expected: "a list a request",
    });
  }
  let values = 0;
  const itls = pauseLists.map((list: unknown) => {
    const pauses = numbers(file, "itls", list);
    values += pauses.length;
    if (values > MAX_PERFORMANCE_VALUES) {
      throw invalid(file, "has too many values", {
        found: `more than ${MAX_PERFORMANCE_VALUES} in itls`,
        expected: `at most ${MAX_PERFORMANCE_VALUES}`,
      });
    }
    return pauses;
  });
  // One that failed has an error, or no first token: a server may refuse without a reason.
  const errors: readonly unknown[] = Array.isArray(json["errors"]) ? json["errors"] : [];
  const isAlive = (i: number): boolean => (ttfts[i] ?? 0) > 0 && (errors[i] ?? "") === "";
  const alive = ttfts.flatMap((_, i) => (isAlive(i) ? [i] : []));
  const latencies =
    json["latencies"] === undefined ? null : numbers(file, "latencies", json["latencies"]);
  const lists = [ttfts, itls, inputs, outputs, latencies ?? ttfts];
  const lengths = lists.map(({ length }) => length);
  const all = failed === null ? ttfts.length : completed + failed;
  if (lengths.some((length) => length !== all) || alive.length !== completed) {
    throw invalid(file, "contradicts itself in the number of requests", {
      found: `lists of ${lengths.join(", ")}, ${alive.length} of them answered`,
      expected: `${all} in each, ${completed} of them completed`,
    });
  }
  const early = alive.find((i) => (latencies?.[i] ?? Number.POSITIVE_INFINITY) < (ttfts[i] ?? 0));
  if (early !== undefined) {
    throw invalid(file, "has a request that ended before its first token", {
      found: `latencies[${early}] = ${latencies?.[early]}`,
      expected: `at least ttfts[${early}] = ${ttfts[early]}`,
    });
  }
  return { ttfts, latencies, itls, inputs, outputs, alive };
}

function numbers(file: DumpFile, key: string, list: unknown): readonly number[] {
  if (!Array.isArray(list)) {
    throw invalid(file, `has no list of ${key}`, {
      found: typeof list,
      expected: "a list of numbers",
    });
  }
  const wrong: unknown = list.find((one) => amount(one) === null);
  if (wrong !== undefined || list.includes(undefined)) {
    throw invalid(file, `holds in ${key} what cannot have been measured`, {
      found: JSON.stringify(wrong).slice(0, 80),
      expected: "numbers from 0 on",
    });
  }
  return list as readonly number[];
}

/** The metrics of the single requests; a mean that the file states of them must be theirs. */
function* detailed(
  file: DumpFile,
  json: JsonObject,
  { ttfts, latencies, itls, inputs, outputs, alive }: Requests,
): Generator<readonly [PerformanceMetricName, Measured]> {
  const of = (value: (i: number) => number): Measured => ({
    kind: "values",
    values: Float64Array.from(alive, value),
  });
  const first = (i: number): number => ttfts[i] ?? Number.NaN;
  const whole = (i: number): number => latencies?.[i] ?? first(i) + sum(itls[i] ?? []);
  if (alive.length > 0) {
    const mean = (1000 * sum(alive.map(first))) / alive.length;
    agree(file, json, "mean_ttft_ms", mean, "the mean of ttfts");
  }
  yield ["ttft_ms", of((i) => 1000 * first(i))];
  yield ["e2e_ms", of((i) => 1000 * whole(i))];
  const perToken = (i: number): number => {
    const after = (outputs[i] ?? 0) - 1;
    return after > 0 ? (1000 * (whole(i) - first(i))) / after : Number.NaN;
  };
  yield ["tpot_ms", of(perToken)];
  const pauses = alive.flatMap((i) => itls[i] ?? []);
  yield ["itl_ms", { kind: "values", values: Float64Array.from(pauses, (one) => 1000 * one) }];
  yield ["input_tokens", of((i) => inputs[i] ?? Number.NaN)];
  yield ["output_tokens", of((i) => outputs[i] ?? Number.NaN)];
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** Statistics of a metric where its values are not stored. vLLM writes 0 where no request was answered. */
function statisticsOf(json: JsonObject, name: string, count: number | null): Measured | null {
  const mean = amount(json[`mean_${name}_ms`]);
  if (mean === null || json["completed"] === 0) return null;
  return {
    kind: "statistics",
    spread: {
      count,
      mean,
      min: null,
      max: null,
      p50: amount(json[`median_${name}_ms`]),
      p99: amount(json[`p99_${name}_ms`]),
    },
  };
}

function invalid(
  file: DumpFile,
  what: string,
  disagreement: { readonly found: string; readonly expected: string },
  cause?: unknown,
): NpuDiffError {
  return file.fail(
    "performance-invalid",
    `${file.name} ${what}`,
    disagreement,
    "give a dump of npu-dump bench, or what vllm bench serve --save-result wrote, as it was written",
    cause,
  );
}
